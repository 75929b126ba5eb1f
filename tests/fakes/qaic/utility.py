"""A stand-in of `qaic-util`, for the queries that the documents show. It is not the vendor's software.

Sources: quic/cloud-ai-sdk utils/qaic-bench/qaic_bench.py; the text is that of
quic/software-kit-for-qualcomm-cloud-ai-100 utils/qaic-util/QaicUtil.cpp.
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.fakes.qaic.machine import CARDS_FILE

#: A file beside the tools that makes it hang, as a wedged card does; one with the image variant that it prints.
HANG_FILE, VARIANT_FILE = "utility-hangs", "image-variant"


def main(root: Path, name: str, arguments: Sequence[str]) -> None:
    """Tell of the cards."""
    if (root / HANG_FILE).exists():
        time.sleep(120)
    content = (root / CARDS_FILE).read_text(encoding="utf-8")
    if list(arguments[:1]) != ["-q"] or len(arguments) not in (1, 3) or arguments[1:2] not in ([], ["-j"]):
        print(f"{name}: unknown arguments {list(arguments)}", file=sys.stderr)  # noqa: T201 - a command's
        sys.exit(1)
    if len(arguments) == 3:
        Path(arguments[2]).write_text(content, encoding="utf-8")
    variant = root / VARIANT_FILE
    for card in json.loads(content)["device_info"]:
        lines = [f"QID {card['qid']}", f"\tStatus:{card['dev_status']}"]
        if card["dev_status"] == "Ready":
            lines += [
                f"\tFW IMAGE_VARIANT:{variant.read_text(encoding='utf-8') if variant.exists() else 'AIC.STANDIN'}",
                f"\tNsp Total:{card['nsp_total']}",
                f"\tNsp Free:{card['nsp_free']}",
                f"\tSku Type:{card['sku_type']}",
            ]
        print("\n".join(lines))  # noqa: T201 - a command's
