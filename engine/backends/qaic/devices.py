"""Which cards there are, and whether they can be given work. No answer is ever waited for without a limit.

Source: the options and the JSON of qaic-util in quic/cloud-ai-sdk utils/qaic-bench/qaic_bench.py; `Util` in
quic/cloud-ai-sdk-pages docs/Python-API/qaicrt/class_util.md and qualcomm/vllm-qaic ci_scripts/scheduler.py.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.backends.qaic.sdk import Sdk, find_sdk, within
from engine.backends.qaic.vendor import load_vendor, why_no_runtime
from engine.errors import BackendError, DeviceNotFoundError, first_line

#: qaic-util asks every card; a wedged one makes it hang.
QUERY_LIMIT_S = 10.0
_DEVICE = re.compile(r"^(?:qid:)?(\d+(?::\d+)*)$", re.IGNORECASE)
#: `QDevStatus`. Source: qualcomm/vllm-qaic ci_scripts/scheduler.py.
_STATES = {"0": "Initializing", "1": "Ready", "2": "Error"}


@dataclass(frozen=True, slots=True)
class Card:
    """One SoC, as the vendor's tools tell of it; a Pro card is one, an Ultra card four.

    Attributes:
        qid: Its number.
        status: `Ready`, `Initializing`, `Error` or `Unknown`.
        sku: The kind of card, such as `PCIe Pro`; empty where unknown.
        nsp_total: AI cores; None where unknown. Cards differ, and a partitioned one has fewer.
        nsp_free: Those that no activation holds.
    """

    qid: int
    status: str
    sku: str = ""
    nsp_total: int | None = None
    nsp_free: int | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it can be given work."""
        return self.status.lower() == "ready"

    def __str__(self) -> str:
        """Return a line about it."""
        cores = f", {self.nsp_free} of {self.nsp_total} AI cores free" if self.nsp_total is not None else ""
        return f"card {self.qid}{f' ({self.sku})' if self.sku else ''}: {self.status}{cores}"


def is_device(name: str) -> bool:
    """Tell whether a name is that of a card, or of several: whether `parse_device` takes it."""
    return _DEVICE.match(name) is not None


def parse_device(device: str | None, dev_id: int) -> tuple[int, ...]:
    """Return the cards that are meant: `0`, `qid:0`, or `0:1:2:3` for one program on several.

    Raises:
        DeviceNotFoundError: It is no card's number.
    """
    if device is None:
        return (dev_id,)
    match = _DEVICE.match(device)
    if match is None:
        raise DeviceNotFoundError(
            f"back end qaic has no device {device!r}: give a card's number, such as 0, or 0:1:2:3 for several"
        )
    return tuple(int(number) for number in match.group(1).split(":"))


def list_cards(sdk: Sdk, limit_s: float = QUERY_LIMIT_S) -> tuple[Card, ...]:
    """Ask `qaic-util`, or where it is missing the runtime, for the cards.

    Raises:
        BackendError: There is nobody to ask, or no sensible answer in time.
    """
    utility = sdk.utility
    try:
        if utility is not None:
            return within(limit_s + 1, str(utility), lambda: _ask_utility(utility, limit_s))
        return within(limit_s, "the runtime of Cloud AI 100", lambda: _ask_runtime(sdk))
    except (TimeoutError, subprocess.TimeoutExpired) as exc:
        who = utility if utility is not None else "the runtime of Cloud AI 100"
        raise BackendError(f"{who} does not tell of the cards within {limit_s:g} s: one may be wedged") from exc
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise BackendError(f"the cards cannot be listed: {first_line(exc)}") from exc


def check_cards(cards: Sequence[Card], qids: Sequence[int], cores: int | None) -> None:
    """Refuse cards that are missing, not ready, or too full.

    Args:
        cards: All of them.
        qids: Those that are meant.
        cores: AI cores that are needed on each; None where unknown.

    Raises:
        DeviceNotFoundError: It names the card and what to do.
    """
    by_number = {card.qid: card for card in cards}
    for qid in qids:
        card = by_number.get(qid)
        if card is None:
            there = ", ".join(str(number) for number in sorted(by_number)) or "none"
            raise DeviceNotFoundError(f"back end qaic has no device '{qid}': of the cards there are {there}")
        if not card.is_ready:
            raise DeviceNotFoundError(
                f"card {qid} is not ready, its status is {card.status}: wait while it starts, "
                "else reset it (qaic-util -s) or look into the kernel's log"
            )
        if cores is not None and card.nsp_free is not None and cores > card.nsp_free:
            raise DeviceNotFoundError(
                f"card {qid} has {card.nsp_free} of its {card.nsp_total} AI cores free, and {cores} are needed "
                "(aic_num_cores × num_activations): take fewer, or end who holds them"
            )


def first_ready_device(sdk: Sdk | None = None) -> tuple[int | None, str]:
    """Return the number of a card that is ready and has an AI core free, or None; and one short line why."""
    sdk = sdk if sdk is not None else find_sdk()
    if not sdk.is_installed:
        return None, f"no Cloud AI 100 software at {sdk.root}"
    missing = why_no_runtime(sdk)
    if missing is not None:
        return None, missing
    try:
        cards = list_cards(sdk)
    except BackendError as exc:
        return None, str(exc)
    for card in cards:
        if card.is_ready and card.nsp_free != 0:
            return card.qid, str(card)
    return None, "; ".join(map(str, cards)) or "no Cloud AI 100 card"


def is_aic200(sdk: Sdk) -> bool:
    """Tell whether the cards of this machine are of the newer kind; not so where there are none.

    Source: quic/efficient-transformers QEfficient/utils/device_utils.py, #1147: the image variant tells.
    """
    utility = sdk.utility
    if utility is None:
        return False
    command = [str(utility), "-q"]
    try:
        text = within(QUERY_LIMIT_S + 1, command[0], lambda: _run(command, QUERY_LIMIT_S))
    except (TimeoutError, OSError, subprocess.SubprocessError):
        return False
    return "AIC200" in text


def _run(command: Sequence[str], limit_s: float) -> str:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=limit_s,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        said = next((line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()), "")
        raise OSError(f"{command[0]} ended with exit code {done.returncode}: {said or 'no word'}")
    return done.stdout


def _ask_utility(utility: Path, limit_s: float) -> tuple[Card, ...]:
    with tempfile.TemporaryDirectory(prefix="streamer-qaic-") as folder:
        file = Path(folder) / "cards.json"
        _run([str(utility), "-q", "-j", str(file)], limit_s)
        answer: Any = json.loads(file.read_text(encoding="utf-8"))
    return tuple(
        Card(
            int(entry["qid"]),
            _STATES.get(str(entry.get("dev_status")), str(entry.get("dev_status", "Unknown"))),
            str(entry.get("sku_type", "")),
            _number(entry.get("nsp_total")),
            _number(entry.get("nsp_free")),
        )
        for entry in answer["device_info"]
    )


def _ask_runtime(sdk: Sdk) -> tuple[Card, ...]:
    rt = load_vendor(sdk).rt
    util = rt.Util()
    status, qids = util.getDeviceIds()
    cards = []
    for qid in qids if status == rt.QStatus.QS_SUCCESS else ():
        told, info = util.getDeviceInfo(qid)
        if told != rt.QStatus.QS_SUCCESS:
            cards.append(Card(int(qid), "Unknown"))
            continue
        resources = info.devData.resourceInfo
        state = "Ready" if info.devStatus == rt.QDevStatus.QDS_READY else "Error"
        cards.append(Card(int(qid), state, "", int(resources.nspTotal), int(resources.nspFree)))
    return tuple(cards)


def _number(value: Any) -> int | None:
    """Return a number; None where an unready card tells none."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
