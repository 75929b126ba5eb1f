"""The command lines that do by hand what a run has done. Pure.

Source of those for a card: quic/cloud-ai-sdk models/vision/classification/run_cv_classifier.py; quic/cloud-ai-sdk-pages
docs/Getting-Started/Inference-Workflow/model-execution/model-execution-options.md.
"""

import json
import shlex
from textwrap import indent

from engine.backends.qaic.sdk import COMPILERS
from engine.backends.simulator.table import PUBLISHED
from engine.models.zoo.catalog import BATCH_AXIS, INPUT_NAME
from streamer.classifiers.device import Device
from streamer.classifiers.plan import RunPlan
from streamer.classifiers.work_directory import WorkDirectory

_TOOLS = "/opt/qti-aic/exec"
#: More than a run has: every inference is in the profile.
_ALL_SAMPLES = 999_999
FLOAT32_BYTES = 4


def streamer_commands(plan: RunPlan, device: Device, weights: str) -> str:
    """Return the lines of this program that do the same, whatever the back end."""
    words = ["streamer", "classifier", *_plan_words(plan, device), "--backend", device.name, "--weights", weights]
    words += ["--work-dir", ".."]
    if device.options_path is not None:
        words += ["--options-path", str(device.options_path)]
    if plan.table != PUBLISHED:
        words += ["--lut", str(plan.table.resolve())]
    return (
        f"# In this directory, on back end {device.name}: export, compile, run.\n"
        f"{shlex.join(words)}\n\n"
        "# The same without exporting and compiling again.\n"
        f"{shlex.join([*words, '--run-only'])}\n"
    )


def _plan_words(plan: RunPlan, device: Device) -> list[str]:
    """Return the flags that lead to a plan.

    A back end that is no card takes instances and set size by the letter where they are given, and only then.
    """
    in_flight = [
        word
        for name, value in (("instances", plan.instances), ("set_size", plan.set_size))
        if device.has_card or plan.origins.get(name) in ("flag", "search")
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]
    return [
        *("--model-name", plan.model, "--objective", plan.objective, "--opset", str(plan.opset)),
        *("--batch-size", str(plan.batch_size), "--image-size", str(plan.image_size_px)),
        *("--cores", str(plan.cores), *in_flight, "--ols", str(plan.ols), f"--mos={plan.mos}"),
        f"--extra={plan.extra}",  # it begins with a dash
        *("--time", f"{plan.time_s:g}", "--device", str(plan.device)),
    ]


def card_commands(plan: RunPlan, directory: WorkDirectory, *, has_open_batch: bool) -> str:
    """Return the compiler's and the runner's lines for a card, for both names of the compiler."""
    new, old = (compile_command(plan, directory, name, has_open_batch=has_open_batch) for name in COMPILERS)
    return (
        "# In this directory, on a machine with a card. The compiler's directory has to be new: move an old one away.\n"
        f"# {COMPILERS[0]}, from SDK 1.22 on:\n{new}\n\n"
        f"# {COMPILERS[1]}, before that:\n{indent(old, '# ')}\n\n"
        f"# The runner prints Inf/Sec, and writes the outputs and a profile of every inference.\n"
        f"mkdir -p {shlex.quote(directory.relative(directory.outputs))}\n\n"
        f"sudo {shlex.join(runner_words(plan, directory))}\n"
    )


def compile_command(plan: RunPlan, directory: WorkDirectory, compiler: str, *, has_open_batch: bool) -> str:
    """Return the compiler's line."""
    hardware = ["-aic-hw-version=ai100"] if compiler == COMPILERS[0] else ["-aic-hw-version=2.0", "-compile-only"]
    words = [
        f"{_TOOLS}/{compiler}",
        f"-m={directory.relative(directory.model)}",
        *([f"-onnx-define-symbol={BATCH_AXIS},{plan.batch_size}"] if has_open_batch else []),
        *("-aic-hw", *hardware, f"-aic-num-cores={plan.cores}", f"-ols={plan.ols}"),
        *([f"-mos={plan.mos}"] if plan.mos else []),
        *("-convert-to-fp16", f"-stats-batchsize={plan.batch_size}"),
        f"-aic-binary-dir={directory.relative(directory.compiled)}",
        *shlex.split(plan.extra),
    ]
    return shlex.join(words)


def runner_words(plan: RunPlan, directory: WorkDirectory, runner: str = f"{_TOOLS}/qaic-runner") -> list[str]:
    """Return the runner's line, to be run in the working directory."""
    outputs = directory.relative(directory.outputs)
    return [
        runner,
        *("-t", directory.relative(directory.compiled), "-a", str(plan.instances), "-S", str(plan.set_size)),
        *("-d", str(plan.device), "--time", f"{max(round(plan.time_s), 1)}"),
        *("--aic-profiling-type", "latency", "--aic-profiling-num-samples", str(_ALL_SAMPLES)),
        *("--aic-profiling-out-dir", outputs, "--write-output-dir", outputs),
        *("--aic-batch-json-input", directory.relative(directory.batch_io)),
    ]


def batch_io(plan: RunPlan, directory: WorkDirectory) -> str:
    """Return the JSON that tells the runner of its input; paths are relative to the file."""
    entry = {
        "path": directory.input.name,
        "io-direction": "in",
        "elem-size": FLOAT32_BYTES,
        "map-to": INPUT_NAME,
        "dims": list(plan.shape),
    }
    return json.dumps({"IO-files": [[entry]]}, indent=1) + "\n"
