"""Which cards are there: told by the stand-ins of the vendor's tools, and never waited for without a limit."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.backends.qaic.devices import check_cards, first_ready_device, is_aic200, list_cards, parse_device
from engine.backends.qaic.sdk import Sdk, find_sdk, within
from engine.backends.qaic.vendor import load_vendor
from engine.backends.registry import default_backend
from engine.errors import BackendError, DeviceNotFoundError
from engine.session_keywords import read_keywords
from tests.fakes.qaic import utility
from tests.fakes.qaic.machine import Card, machine_at
from tests.fakes.qaic.sdk import install_sdk, installed, nothing_installed

DEADLINE_S = 20.0


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    with nothing_installed():
        yield


@pytest.fixture
def sdk(tmp_path: Path) -> Iterator[Sdk]:
    cards = [Card(0, 14, "PCIe", "Error"), Card(2, 16, "PCIe Pro"), Card(5, 16, "PCIe Ultra")]
    with installed(tmp_path / "qti-aic", cards) as found:
        yield found


@pytest.fixture
def no_sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QAIC_SDK_ROOT", str(tmp_path / "nothing"))
    return tmp_path / "nothing"


def test_without_an_sdk_there_is_no_card_and_the_answer_comes_at_once(no_sdk: Path) -> None:
    assert first_ready_device() == (None, f"no Cloud AI 100 software at {no_sdk}")
    name, reason = default_backend()
    assert name == "onnxruntime"
    assert str(no_sdk) in reason


def test_importing_the_back_end_imports_nothing_of_the_vendors() -> None:
    code = (
        "import sys; sys.modules['qaicrt'] = sys.modules['QAicApi_pb2'] = None\n"
        "import engine.backends.qaic.backend, engine.backends.qaic.devices\n"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=root, check=True, timeout=60)


def test_the_first_card_that_is_ready_is_found(sdk: Sdk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert first_ready_device(sdk) == (2, "card 2 (PCIe Pro): Ready, 16 of 16 AI cores free")
    assert "qaicrt" not in sys.modules
    monkeypatch.setenv("QAIC_SDK_ROOT", str(sdk.root))
    assert find_sdk() == sdk
    assert default_backend()[0] == "qaic"


def test_a_card_without_a_free_core_is_passed_over(sdk: Sdk) -> None:
    machine = machine_at(sdk.root)
    machine.cards[2].held.append(16)
    machine.write()
    assert first_ready_device(sdk)[0] == 5
    for card in machine.cards.values():
        card.status = "Initializing"
    machine.write()
    number, reason = first_ready_device(sdk)
    assert number is None
    assert "card 2 (PCIe Pro): Initializing" in reason


def test_a_runtime_for_another_python_is_no_runtime(tmp_path: Path) -> None:
    sdk = install_sdk(tmp_path / "qti-aic", runtime=False)
    assert "no qaicrt for Python" in first_ready_device(sdk)[1]
    folder = tmp_path / "qti-aic" / "dev" / "lib" / __import__("platform").machine()
    folder.mkdir(parents=True)
    (folder / "qaicrt.cpython-38-x86_64-linux-gnu.so").write_bytes(b"")
    number, reason = first_ready_device(sdk)
    assert number is None
    assert "qaicrt.cpython-38-x86_64-linux-gnu.so" in reason
    with pytest.raises(BackendError, match=r"neither Python's path nor .* has it for Python"):
        load_vendor(sdk)


@pytest.mark.parametrize("name", ["qaicrt", "QAicApi_pb2"])
def test_a_module_that_does_not_load_says_what_may_be_wrong(sdk: Sdk, name: str) -> None:
    folder = next(path.parent for path in sdk.root.rglob(f"{name}.py"))
    (folder / f"{name}.py").write_text(
        "raise TypeError('Descriptors cannot be created directly.\\nmore')", encoding="utf-8"
    )
    with pytest.raises(BackendError, match=rf"{name} does not load .* cannot be created directly. .*version") as caught:
        load_vendor(sdk)
    assert "\n" not in str(caught.value)


def test_cards_come_from_the_runtime_where_the_tool_is_missing(sdk: Sdk) -> None:
    (sdk.root / "tools" / "qaic-util").unlink()
    assert [(card.qid, card.is_ready, card.nsp_total) for card in list_cards(sdk)] == [
        (0, False, 14),
        (2, True, 16),
        (5, True, 16),
    ]
    assert first_ready_device(sdk)[0] == 2


def test_a_wedged_card_is_not_waited_for(sdk: Sdk) -> None:
    (sdk.root / utility.HANG_FILE).touch()
    with pytest.raises(BackendError, match=r"does not tell of the cards within 0\.2 s"):
        list_cards(sdk, 0.2)
    (sdk.root / "tools" / "qaic-util").unlink()
    machine_at(sdk.root).hold("getDeviceIds")
    with pytest.raises(BackendError, match=r"does not tell of the cards within 0\.2 s"):
        list_cards(sdk, 0.2)


def test_a_tool_that_fails_is_quoted(sdk: Sdk) -> None:
    (sdk.root / "cards.json").write_text("{}", encoding="utf-8")
    with pytest.raises(BackendError, match="cannot be listed"):
        list_cards(sdk)
    (sdk.root / "cards.json").unlink()
    with pytest.raises(BackendError, match="exit code 1") as caught:
        list_cards(sdk)
    assert "\n" not in str(caught.value)
    assert first_ready_device(sdk)[0] is None


def test_an_unready_card_that_tells_no_cores_is_listed(sdk: Sdk) -> None:
    entries = {"device_info": [{"qid": 0, "dev_status": "Error"}, {"qid": 1, "dev_status": 1, "nsp_free": "4"}]}
    (sdk.root / "cards.json").write_text(json.dumps(entries), encoding="utf-8")
    broken, whole = list_cards(sdk)
    assert (broken.is_ready, broken.nsp_total, str(broken)) == (False, None, "card 0: Error")
    assert (whole.is_ready, whole.nsp_free) == (True, 4)


@pytest.mark.parametrize(
    ("device", "qids"), [(None, (3,)), ("0", (0,)), ("qid:7", (7,)), ("QID:1", (1,)), ("0:1:2:3", (0, 1, 2, 3))]
)
def test_a_device_is_a_cards_number(device: str | None, qids: tuple[int, ...]) -> None:
    assert parse_device(device, 3) == qids


def test_the_device_of_a_consumer_is_a_card_where_it_is_a_cards_number() -> None:
    for device, meant in (("1", "1"), ("QID:2", "QID:2"), ("0:1", "0:1"), ("gate", None)):
        options = read_keywords({"backend": "qaic", "device": device}, is_strict=False).options
        assert options.device == meant


@pytest.mark.parametrize("device", ["cpu", "cuda:0", "", "-1", "0:", "1.5"])
def test_what_is_no_cards_number_is_named(device: str) -> None:
    with pytest.raises(DeviceNotFoundError, match=re.escape(repr(device))):
        parse_device(device, 0)


@pytest.mark.parametrize(
    ("qids", "cores", "named"),
    [
        ((17,), None, "no device '17': of the cards there are 0, 2, 5"),
        ((0,), None, "card 0 is not ready, its status is Error"),
        ((2, 5), 17, "card 2 has 16 of its 16 AI cores free, and 17 are needed"),
    ],
)
def test_a_card_of_no_use_is_named_with_the_reason(sdk: Sdk, qids: tuple[int, ...], cores: int, named: str) -> None:
    with pytest.raises(DeviceNotFoundError, match=named):
        check_cards(list_cards(sdk), qids, cores)
    check_cards(list_cards(sdk), (2, 5), 16)


def test_the_newer_card_is_known_by_its_image(sdk: Sdk) -> None:
    assert not is_aic200(sdk)
    (sdk.root / utility.VARIANT_FILE).write_text("AIC200.X", encoding="utf-8")
    assert is_aic200(sdk)


def test_a_call_that_comes_late_is_handed_to_who_clears_it_away() -> None:
    from threading import Event

    gate, taken = Event(), Event()
    cleared: list[str] = []

    def call() -> str:
        gate.wait(DEADLINE_S)
        return "late"

    def clear(result: str) -> None:
        cleared.append(result)
        taken.set()

    with pytest.raises(TimeoutError, match=r"the card gave no answer within 0\.05 s"):
        within(0.05, "the card", call, clear)
    gate.set()
    assert taken.wait(DEADLINE_S)
    assert cleared == ["late"]


def test_a_time_out_of_the_call_itself_is_its_own() -> None:
    def call() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match=r"^mine$"):
        within(DEADLINE_S, "the card", call)
