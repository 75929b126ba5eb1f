"""What may stand among the further flags of the card's compiler. Pure."""

import shlex
from collections.abc import Mapping

from streamer.terminal import is_harmless

#: What a run tells the compiler itself, and what of ours says so. A flag takes its value after `=`.
#: Source: quic/cloud-ai-sdk models/vision/classification/run_cv_classifier.py; quic/cloud-ai-sdk-pages
#: docs/Getting-Started/Inference-Workflow/model-compilation/Compile-the-Model.md.
_OWN: Mapping[str, str] = {
    "m": "--model-name",
    "model": "--model-name",
    "batchsize": "--batch-size",
    "stats-batchsize": "--batch-size",
    "onnx-define-symbol": "--batch-size",
    "network-specialization-config": "--batch-size",
    "aic-num-cores": "--cores",
    "ols": "--ols",
    "mos": "--mos",
    "aic-binary-dir": "--work-dir",
    "aic-hw": "",
    "aic-hw-version": "",
    "compile-only": "",
    "convert-to-fp16": "",
}


def wrong_with(extra: str) -> str:
    """Return why a text is not taken for further flags; empty where it is."""
    try:
        words = shlex.split(extra)
    except ValueError:
        words = []
    if not is_harmless(extra) or (extra.strip() and not words):
        return "give flags in one line, every quotation mark closed"
    for word in words:
        name = word.partition("=")[0].lstrip("-")
        if not word.startswith("-") or not name:
            return f"{word!r} is no flag: each begins with a dash, and its value follows an equals sign, as in -flag=7"
        if name in _OWN:
            instead = f"give {_OWN[name]}" if _OWN[name] else "leave it out"
            return f"the run itself says -{name}: {instead}"
    return ""
