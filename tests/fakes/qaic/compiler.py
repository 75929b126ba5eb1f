"""A stand-in of `qaic-compile` and `qaic-exec`. It is not the vendor's software, and what it writes runs on no card.

It knows the flags that public sources show, and refuses all others. Sources: quic/cloud-ai-sdk-pages
docs/Getting-Started/Inference-Workflow/model-compilation/Compile-the-Model.md, docs/ONNXRT QAIC/onnxruntime.md;
quic/cloud-ai-sdk samples/python/common_utils.py; krai/ck-qaic package/model-qaic-compile; pytorch/glow
tools/loader/Loader.cpp.
"""

import json
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tests.fakes.qaic.container import FILE_NAME, Container, describe, load_graph, write_container

#: A file beside the tools in which each run leaves its arguments; one that makes it hang; one with its complaint.
RUNS_FILE, HANG_FILE, COMPLAINT_FILE = "compilations.jsonl", "compiler-hangs", "compiler-complains"

_BARE = {
    "aic-hw", "compile-only", "convert-to-fp16", "enable-rowwise", "enable-channelwise", "convert-to-quantize",
    "aic-preproc", "aic-enable-depth-first", "time-passes", "aic-perf-warnings", "aic-perf-metrics",
    "multicast-weights", "ddr-stats",
}  # fmt: skip
_NUMBER = r"\d+"
_SCHEMA = "asymmetric|symmetric|symmetric_with_uint8|symmetric_with_power2_scale"
_VALUES = {
    "m": ".+", "aic-hw-version": r"2\.0|ai100|ai200", "aic-binary-dir": ".+", "mos": r"\d+(,\d+)*", "ols": _NUMBER,
    "aic-num-cores": _NUMBER, "onnx-define-symbol": r"\w+,\d+", "output-node-name": ".+",
    "model-input": r"\w+,\w+,\[\d+(,\d+)*\]", "allocator-dealloc-delay": _NUMBER, "size-split-granularity": _NUMBER,
    "vtcm-working-set-limit-ratio": r"[\d.]+", "execute-nodes-in-fp16": r"\w+(,\w+)*", "node-precision-info": ".+",
    "keep-original-precision-for-nodes": r"\w+(,\w+)*", "custom-IO-list-file": ".+",
    "dump-custom-IO-config-template": ".+", "external-quantization": ".+",
    "quantization-schema-activations": _SCHEMA, "quantization-schema-constants": _SCHEMA,
    "quantization-calibration": r"None|KLMinimization|KLMinimizationV2|Percentile|MSE|SQNR",
    "percentile-calibration-value": r"[\d.]+", "num-histogram-bins": _NUMBER, "quantization-precision": "Int8|Int16",
    "quantization-precision-bias": "Int8|Int32", "dump-profile": ".+", "load-profile": ".+",
    "mdp-load-partition-config": ".+", "mdp-dump-partition-config": ".+", "aic-depth-first-mem": _NUMBER,
    "stats-batchsize": _NUMBER, "sdp-cluster-sizes": r"\d+(,\d+)*", "profiling-threads": _NUMBER,
    "use-producer-dma": "0|1", "aic-pmu-recipe": "AxiRd|AxiWr|AxiRdWr|KernelUtil|HmxMacs",
    "combine-inputs": "true|false", "combine-outputs": "true|false", "network-specialization-config": ".+",
}  # fmt: skip


def main(root: Path, name: str, arguments: Sequence[str]) -> None:
    """Compile, or end with an exit code."""
    with (root / RUNS_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps([name, *arguments]) + "\n")
    if (root / HANG_FILE).exists():
        time.sleep(120)
    if (root / COMPLAINT_FILE).exists():
        sys.stdout.write((root / COMPLAINT_FILE).read_text(encoding="utf-8"))
        sys.exit(3)
    flags = _parse(arguments)
    if name == "qaic-exec" and "compile-only" not in flags and "dump-profile" not in flags:
        _fail("there is no device to execute on")
    if "dump-profile" in flags:
        Path(flags["dump-profile"][0]).write_text("a quantisation profile of the stand-in\n", encoding="utf-8")
        return
    _check(flags)
    directory = Path(flags["aic-binary-dir"][0])
    try:
        graph = load_graph(Path(flags["m"][0]))
        descriptor = describe(graph, _sizes(flags))
    except Exception as exc:  # noqa: BLE001 - whatever it is, it is an error of the model
        _fail(str(exc).splitlines()[0] if str(exc) else type(exc).__name__)
    directory.mkdir()
    cores = int(flags.get("aic-num-cores", ["1"])[0])
    write_container(directory / FILE_NAME, Container(cores, descriptor, graph.SerializeToString()))
    print(f"Generated binary is present at {directory}")  # noqa: T201 - a command's


def _parse(arguments: Sequence[str]) -> dict[str, list[str]]:
    flags: dict[str, list[str]] = {}
    for argument in arguments:
        name, equals, value = argument.removeprefix("-").partition("=")
        if not argument.startswith("-") or argument.startswith("--"):
            _fail(f"Unknown argument {argument}")
        if name in _BARE:
            if equals:
                _fail(f"-{name} takes no value")
        elif name not in _VALUES:
            _fail(f"Unknown command line argument '{argument}'")
        elif not re.fullmatch(_VALUES[name], value):
            _fail(f"-{name} does not take '{value}'")
        if name in flags and name not in ("onnx-define-symbol", "model-input"):
            _fail(f"-{name} may be given once")
        flags.setdefault(name, []).append(value)
    return flags


def _check(flags: dict[str, list[str]]) -> None:
    for name in ("m", "aic-hw", "aic-hw-version", "aic-binary-dir"):
        if name not in flags:
            _fail(f"-{name} is missing")
    if Path(flags["aic-binary-dir"][0]).exists():
        _fail(f"{flags['aic-binary-dir'][0]} exists already")
    if "network-specialization-config" in flags and "aic-preproc" in flags:
        _fail("-network-specialization-config does not go with -aic-preproc")
    profiles = {"dump-profile", "load-profile", "convert-to-quantize"} & set(flags)
    if len(profiles) > 1:
        _fail(f"{' and '.join(sorted(profiles))} exclude each other")
    for name in ("node-precision-info", "custom-IO-list-file", "external-quantization", "load-profile"):
        if name in flags and not Path(flags[name][0]).is_file():
            _fail(f"{flags[name][0]} cannot be read")


def _sizes(flags: dict[str, list[str]]) -> list[dict[str, int]]:
    """Return the size of each symbol, once for each specialisation."""
    defined = dict(pair.split(",") for pair in flags.get("onnx-define-symbol", []))
    if "network-specialization-config" not in flags:
        return [{name: int(size) for name, size in defined.items()}]
    config = json.loads(Path(flags["network-specialization-config"][0]).read_text(encoding="utf-8"))
    entries = config["specializations"]
    if not all(isinstance(size, str) for entry in entries for size in entry.values()):
        _fail("the values of a specialization are strings")
    return [{name: int(size) for name, size in entry.items()} for entry in entries]


def _fail(message: str) -> NoReturn:
    print(f"QAIC_ERROR: Error message: {message}", file=sys.stderr)  # noqa: T201 - a command's
    print("Compilation aborted.", file=sys.stderr)  # noqa: T201 - the same
    sys.exit(1)
