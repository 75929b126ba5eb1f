"""The flags of `streamer classifier`: the vendor's, by the same names, and what is beyond them.

Source: quic/cloud-ai-sdk models/vision/classification/run_cv_classifier.py.
"""

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

from streamer.cli.command import AnyText, positive, seconds
from streamer.cli.output_file import drawing, writable


def _model(text: str) -> str:
    from engine.errors import OptionsError
    from engine.models.zoo.catalog import find_architecture

    try:
        return find_architecture(text).name
    except OptionsError as exc:
        raise ArgumentTypeError(str(exc)) from exc


def _backend(text: str) -> str:
    from engine.backends.registry import backend_names
    from engine.options import nearest

    names = (*backend_names(), "aic")  # the vendor's own word for qaic
    if text not in names:
        raise ArgumentTypeError(f"no back end {text!r}{nearest(text, names) or ': one of ' + ', '.join(names[:-1])}")
    return text


def add_flags(parser: ArgumentParser) -> None:
    """Add all of them."""
    from engine.backends.simulator.table import BEST_THROUGHPUT, OBJECTIVES
    from streamer.classifiers.plan import DEFAULT_TIME_S, DEFAULTS, LUT_NAME, MAX_DEVICE
    from streamer.classifiers.tune import TRIAL_S

    vendor = parser.add_argument_group("what is run; where nothing is said: the look-up table's row, else the default")
    vendor.add_argument("--model-name", "-m", type=_model, metavar="MODEL", help="one of the models above")
    vendor.add_argument(
        "--objective", "-o", choices=OBJECTIVES, default=BEST_THROUGHPUT, help=f"(default: {BEST_THROUGHPUT})"
    )
    vendor.add_argument("--opset", type=positive, metavar="N", help="ONNX opset; raised where the model needs a later")
    vendor.add_argument(
        "--batch-size",
        "-b",
        type=positive,
        metavar="N",
        help=f"images in a batch (default: {DEFAULTS['batch_size']})",
    )
    vendor.add_argument(
        "--image-size", "-s", type=positive, metavar="PX", help="width and height (default: the model's own, 224)"
    )
    vendor.add_argument("--cores", "-c", **_count("cores", "AI cores of an instance"))
    vendor.add_argument("--instances", "-i", **_count("instances", "instances on the device"))
    vendor.add_argument("--ols", **_count("ols", "overlap split factor"))
    vendor.add_argument("--mos", metavar="MOS", help="maximum output channel split, such as 2 or 1,7 (default: none)")
    vendor.add_argument("--set-size", **_count("set_size", "batches in flight for each instance"))
    vendor.add_argument(
        "--extra",
        action=AnyText,
        metavar="FLAGS",
        help="further flags of the card's compiler, in one word: '-multicast-weights -ddr-stats' (default: none)",
    )
    vendor.add_argument(
        "--time", type=seconds, metavar="TIME", help=f"how long batches are begun (default: {DEFAULT_TIME_S:g}s)"
    )
    vendor.add_argument(
        "--device",
        "-d",
        type=int,
        choices=range(MAX_DEVICE + 1),
        default=0,
        metavar=f"{{0..{MAX_DEVICE}}}",
        help="the card (default: 0)",
    )
    vendor.add_argument(
        "--run-only", "-r", action="store_true", help="run what was compiled before; export and compile nothing"
    )
    more = parser.add_argument_group("beyond the vendor's script")
    more.add_argument(
        "--all",
        action="store_true",
        help="every model; one that fails stops no other, and Ctrl-C keeps those that are done; on two cores some 20 "
        "min beside their --time, and 10.4 GB of model files (twice that where the back end keeps a compiled one)",
    )
    more.add_argument(
        "--tune",
        action="store_true",
        help="search for batch size, instances and set size, run the best, and write its row (--lut; on a card it need "
        f"not be given: {LUT_NAME}); --time is that of each trial and of the run (default: {TRIAL_S:g}s and "
        f"{DEFAULT_TIME_S:g}s)",
    )
    more.add_argument(
        "--backend",
        type=_backend,
        metavar="NAME",
        help="what computes (default: qaic where a card is, else onnxruntime)",
    )
    more.add_argument(
        "--options-path",
        type=Path,
        metavar="FILE",
        help="a YAML file of Session keywords for it, such as `device: cuda:0`; what is said here wins",
    )
    more.add_argument(
        "--weights",
        choices=("pretrained", "random"),
        help="random ones need no network, and answer as sensibly as theirs can (default: pretrained)",
    )
    more.add_argument(
        "--work-dir",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where each model's own directory is made (default: the current directory)",
    )
    more.add_argument(
        "--lut",
        type=Path,
        metavar="FILE",
        help=f"the look-up table (default: {LUT_NAME} if that is there, else the built-in one)",
    )
    more.add_argument("--json", action="store_true", help="the figures as one JSON object, on the last line")
    more.add_argument("--csv", type=writable, metavar="FILE", help="the figures as CSV, a row for each model")
    more.add_argument("--picture", type=drawing, metavar="FILE.svg", help="draw throughput against latency")


def _count(name: str, what: str) -> dict[str, Any]:
    """Return the keywords of a flag that is a whole number within the vendor's limits."""
    from streamer.classifiers.plan import DEFAULTS, LIMITS

    most = LIMITS[name]
    return {
        "type": int,
        "choices": range(1, most + 1),
        "metavar": f"{{1..{most}}}",
        "help": f"{what} (default: {DEFAULTS[name]})",
    }


def models() -> str:
    """Return the names of all models, in lines."""
    from textwrap import fill

    from engine.models.zoo.catalog import ARCHITECTURES

    return fill(" ".join(ARCHITECTURES), 110, break_on_hyphens=False)
