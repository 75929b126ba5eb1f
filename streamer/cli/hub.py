"""`streamer hub`: models at Qualcomm AI Hub, compiled and run on a device there, a few at a time."""

import re
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from config.settings import HubAccountSettings, HubModelsSettings, HubSettings
from streamer.cli.command import Call, Command, UsageError
from streamer.cli.output_file import writable

if TYPE_CHECKING:
    from engine.backends.qai_hub.client import Hub
    from streamer.hub.inputs import Input
    from streamer.hub.model_run import Outcome
    from streamer.hub.state import JobState

_PROGRAM = "streamer hub batch"
_STATE = Path("streamer-hub.json")
_INTERRUPTED = 130
#: A model's id before a `=`; before the one in an address or a path stand other characters.
_OF_MODEL = re.compile(r"([A-Za-z0-9]+)=(.+)", re.DOTALL)
#: Whose picture has no model's id before it.
_OTHERS = ""


def _batch(call: Call) -> int:
    from streamer.hub.state import job_state
    from streamer.stopping import stop_on_signals
    from streamer.terminal import working

    arguments, settings = call.arguments, call.loaded.settings.hub
    images = _images(arguments.image, arguments.model_id)
    with working("fetching the pictures"):
        inputs = _inputs(images)
    with redirect_stdout(sys.stderr):  # the hub's client prints, too
        hub = _hub(settings)
        with working("asking AI Hub"):
            device = hub.find_device(settings.device)
        with job_state(arguments.state) as state:
            models = list(dict.fromkeys(arguments.model_id)) or _fetch(hub, settings.limit)
            _check_named(images, models)
            given = {model: inputs.get(model) or inputs[_OTHERS] for model in models}
            if arguments.retry_failed:
                state.forget_failures()
            hub.stop = stop_on_signals()  # from here on there is something to be ended in good order
            outcomes = _run_models(hub, device, state, given, call)
    if len(outcomes) < len(given):
        print(
            f"interrupted: {len(outcomes)} of {len(given)} models are done; the same command goes on from "
            f"{arguments.state}, and submits no job again",
            file=sys.stderr,
        )
        return _INTERRUPTED
    _show(call, device.name, outcomes)
    return 1 if any(outcome.failure for outcome in outcomes) else 0


def _run_models(
    hub: "Hub", device: object, state: "JobState", inputs: "dict[str, Input]", call: Call
) -> "list[Outcome]":
    from streamer.hub.batch import run_all
    from streamer.hub.model_run import ModelRun

    run = ModelRun(hub, device, state, call.arguments.input_shape)
    batch_size = call.loaded.settings.hub.batch_size
    outcomes = run_all(run, inputs, batch_size=batch_size, stop=hub.stop, first=state.open_models())
    return list(outcomes.values())


def _fetch(hub: "Hub", limit: int) -> list[str]:
    from streamer.hub.models import find_models
    from streamer.terminal import working

    with working("fetching the models"):
        found = find_models(hub, limit)
    print(f"fetched {len(found)} models", file=sys.stderr)
    return [model.model for model in found]


def _images(given: Sequence[str], models: Sequence[str]) -> dict[str, str]:
    """Return each model's picture; the key of the other models' is ''.

    Raises:
        UsageError: A picture is missing, or stands twice.
    """
    images: dict[str, str] = {}
    for text in given:
        named = _OF_MODEL.fullmatch(text)
        model, image = (named[1], named[2]) if named else (_OTHERS, text)
        if model in images:
            whose = f"model {model}" if model else "the models that have none of their own"
            raise UsageError(f"{_PROGRAM}: two --image for {whose}: a model's own is written MODEL=IMAGE")
        images[model] = image
    if _OTHERS not in images and not (models and set(models) <= set(images)):
        raise UsageError(f"{_PROGRAM}: --image URL or FILE is missing (`{_PROGRAM} --help` explains)")
    if models:
        _check_named(images, models)
    return images


def _check_named(images: dict[str, str], models: Sequence[str]) -> None:
    for model in images:
        if model != _OTHERS and model not in models:
            raise UsageError(
                f"{_PROGRAM}: --image names model {model}, which is not one of those that are run: a file with a = in "
                "its name is written ./NAME"
            )


def _inputs(images: dict[str, str]) -> "dict[str, Input]":
    """Fetch the pictures, each one once."""
    from producers.sources.address import redact
    from streamer.hub.inputs import PictureInput
    from streamer.hub.pictures import read_picture

    fetched = {image: PictureInput(read_picture(image), redact(image)) for image in dict.fromkeys(images.values())}
    return {model: fetched[image] for model, image in images.items()}


def _hub(settings: HubSettings) -> "Hub":
    from engine.backends.qai_hub.client import Hub, default_connect
    from engine.backends.qai_hub.options import QaiHubOwn

    own = QaiHubOwn(
        profile=settings.profile,
        device_os=settings.device_os,
        device_attributes=settings.device_attributes,
        target_runtime=settings.target_runtime,
        compile_options=settings.compile_options,
        job_options=settings.job_options,
        job_timeout=settings.job_timeout.total_seconds(),
        poll_interval=settings.poll_interval.total_seconds(),
    )
    return Hub(default_connect, own)


def _show(call: Call, device: str, outcomes: "list[Outcome]") -> None:
    from streamer.hub.report import COLUMNS, as_json, table_rows, write_csv
    from streamer.terminal import print_json, print_table

    arguments = call.arguments
    failed = sum(1 for outcome in outcomes if outcome.failure)
    done = len(outcomes) - failed
    if arguments.csv:
        write_csv(arguments.csv, outcomes)
    if arguments.json:
        print_json(
            {
                "device": device,
                "fetched": len(outcomes),
                "done": done,
                "failed": failed,
                "models": [as_json(outcome) for outcome in outcomes],
            }
        )
        return
    print_table(f"{done} of {len(outcomes)} models answered on {device}", COLUMNS, table_rows(outcomes))
    earlier = sum(1 for outcome in outcomes if outcome.is_earlier and not outcome.failure)
    if earlier:
        print(f"{earlier} answered in an earlier run; without {arguments.state} they are run anew")
    if failed:
        print(f"{failed} failed; {arguments.state} remembers them, and --retry-failed submits them again")


def _models(call: Call) -> int:
    from dataclasses import asdict

    from streamer.hub.models import find_models
    from streamer.terminal import print_json, print_table, working

    with working("asking AI Hub"), redirect_stdout(sys.stderr):
        found = find_models(_hub(call.loaded.settings.hub), call.loaded.settings.hub.limit)
    if call.arguments.json:
        print_json({"models": [asdict(model) for model in found]})
    else:
        columns = ("model", "name", "type", "uploaded at")
        rows = ((model.model, model.name, model.type, model.uploaded_at) for model in found)
        print_table(f"{len(found)} models that can be compiled, the newest first", columns, rows)
    return 0


def _devices(call: Call) -> int:
    from streamer.terminal import print_json, print_table, working

    with working("asking AI Hub"), redirect_stdout(sys.stderr):
        found = _hub(call.loaded.settings.hub).devices()
    rows = [(device.name, device.os, [str(attribute) for attribute in device.attributes]) for device in found]
    if call.arguments.json:
        print_json({"devices": [{"name": name, "os": os, "attributes": all_of} for name, os, all_of in rows]})
    else:
        shown = ((name, os, ", ".join(all_of)) for name, os, all_of in rows)
        print_table(f"{len(rows)} devices at AI Hub", ("device", "system", "attributes"), shown)
    return 0


def _shape(text: str) -> tuple[int, ...]:
    """Read `1,224,224,3` or `1x224x224x3`, as argparse wants it of an argument's `type`."""
    if not re.fullmatch(r"[1-9][0-9]{0,5}([,x][1-9][0-9]{0,5})*", text, re.ASCII):
        raise ArgumentTypeError("give sizes with commas between, such as 1,224,224,3")
    return tuple(int(size) for size in re.split("[,x]", text))


def _batch_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--image",
        action="append",
        default=[],
        metavar="URL|FILE",
        help="the picture; MODEL=URL|FILE for one model's own",
    )
    parser.add_argument(
        "--model-id", action="append", default=[], metavar="ID", help="run this model, and others named so, alone"
    )
    parser.add_argument(
        "--input-shape", type=_shape, metavar="1,224,224,3", help="the input's size, in the place of the models' own"
    )
    parser.add_argument(
        "--state",
        type=Path,
        default=_STATE,
        metavar="FILE",
        help=f"remembers the jobs: what is in it is not submitted again (default: {_STATE})",
    )
    parser.add_argument("--retry-failed", action="store_true", help="submit what failed in an earlier run again")
    parser.add_argument("--csv", type=writable, metavar="FILE", help="write a line for each output there, too")
    _json_argument(parser)


def _json_argument(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="all of it as one JSON object, on the last line")


COMMAND = Command(
    help="Models at Qualcomm AI Hub: list them and the devices there, and run them on one.\n\n"
    "Needs an account: `qai-hub configure --api_token TOKEN` saves its token. Models and pictures are sent there.",
    subcommands={
        "batch": Command(
            help="Have models compiled for a device and run there on a picture, a few at a time.\n\n"
            "Without --model-id it takes the newest models of the account; what compile jobs made is passed over. A\n"
            "model that was compiled already (--model-id names a compile job's) is run as it is. Each model is given\n"
            "the picture in the size, order of axes and type that it says it takes: floats are 0-1, RGB.\n"
            "One that fails stops no other; exit code 1: one did. Ctrl-C ends it, and the same command goes on.",
            run=_batch,
            settings=((HubSettings, "hub"),),
            add_arguments=_batch_arguments,
            examples="streamer hub batch --limit 20 --device 'Samsung Galaxy S24 (Family)' --image cat.jpg\n"
            "streamer hub batch --device 'QCS8550 (Proxy)' --image https://example.org/cat.jpg --json --csv all.csv\n"
            "streamer hub batch --device 'QCS8550 (Proxy)' --image cat.jpg --model-id mabc123 --image mabc123=dog.jpg",
        ),
        "models": Command(
            help="List the newest models of the account that can be compiled.",
            run=_models,
            settings=((HubModelsSettings, "hub"),),
            add_arguments=_json_argument,
            examples="streamer hub models --limit 50",
        ),
        "devices": Command(
            help="List the devices at AI Hub.",
            run=_devices,
            settings=((HubAccountSettings, "hub"),),
            add_arguments=_json_argument,
            examples="streamer hub devices --json",
        ),
    },
)
