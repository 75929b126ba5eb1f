"""The functions of `streamer.hub`, for scripts."""

import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends.qai_hub.client import Hub, default_connect
from engine.backends.qai_hub.options import QaiHubOwn
from streamer.hub.batch import run_all
from streamer.hub.inputs import ArrayInput
from streamer.hub.model_run import ModelRun
from streamer.hub.models import find_models
from streamer.hub.state import JobState, job_state

log = logging.getLogger(__name__)

#: An array by the name of each output.
Result = dict[str, NDArray[Any]]


def fetch_model_ids(limit: int = 10, *, options: QaiHubOwn | None = None) -> list[str]:
    """Return the ids of the newest models that the account may see and that are to be compiled.

    Args:
        limit: As many at the most. What compile jobs made is passed over.
        options: Keywords of the back end `qai_hub`: `profile` is used.

    Raises:
        NoModelsError: There is none.
        EngineError: There is no token, or AI Hub does not answer.
    """
    return [model.model for model in find_models(_hub(options), limit)]


def compile_and_run_inference(
    model_id: str, device: Any, input_data: NDArray[np.generic], *, options: QaiHubOwn | None = None
) -> tuple[str, Result | None]:
    """Have one model compiled for a device and run there.

    Args:
        model_id: Of a model at AI Hub; one that a compile job made is run as it is.
        device: A `qai_hub.Device`, or its name.
        input_data: As `process_image` gives it, or as the model takes it; NHWC is turned to NCHW, and back.
        options: Keywords of the back end `qai_hub`.

    Returns:
        The id, and an array by the name of each output, or None where something failed: the log says what.

    Raises:
        BackendError: There is no token, or AI Hub does not accept it.
        DeviceNotFoundError: There is no such device.
    """
    hub = _hub(options)
    found = hub.find_device(device) if isinstance(device, str) else device
    outcome = ModelRun(hub, found)(model_id, ArrayInput(input_data))
    if outcome.failure:
        log.warning("%s failed: %s", model_id, outcome.failure)
    return model_id, outcome.outputs


def batch_inference(
    model_ids: Sequence[str],
    device_name: str,
    input_data: NDArray[np.generic] | Mapping[str, NDArray[np.generic]],
    batch_size: int = 5,
    *,
    options: QaiHubOwn | None = None,
    state: Path | None = None,
) -> dict[str, Result | None]:
    """Have models compiled for a device and run there, `batch_size` of them at a time.

    A model that is done makes room for the next at once, and one that fails stops no other.

    Args:
        model_ids: As for `compile_and_run_inference`.
        device_name: The device's name at AI Hub.
        input_data: One array for all of them, or an array by a model's id.
        batch_size: Never more jobs than so many are in flight.
        options: Keywords of the back end `qai_hub`.
        state: A file that remembers the jobs: what is in it is not submitted again.

    Returns:
        By the model's id an array by the name of each output, or None where something failed: the log says what.

    Raises:
        KeyError: A model has no input.
        ValueError: `batch_size` is below 1.
        BackendError: There is no token, or AI Hub does not accept it.
        DeviceNotFoundError: There is no such device.
        StateError: The file cannot be used.
    """
    by_model = input_data if isinstance(input_data, Mapping) else dict.fromkeys(model_ids, input_data)
    # One array is one input, however many models take it.
    arrays = {id(values): ArrayInput(values) for values in by_model.values()}
    inputs = {model: arrays[id(by_model[model])] for model in model_ids}
    hub = _hub(options)
    device = hub.find_device(device_name)
    with ExitStack() as stack:
        jobs = stack.enter_context(job_state(state)) if state else JobState()
        outcomes = run_all(
            ModelRun(hub, device, jobs), inputs, batch_size=batch_size, stop=hub.stop, first=jobs.open_models()
        )
    return {model: outcome.outputs for model, outcome in outcomes.items()}


def main() -> int:
    """Run `streamer hub batch` with this program's arguments, and return its exit code."""
    from streamer.cli.main import main as command

    return command(["hub", "batch", *sys.argv[1:]])


def _hub(options: QaiHubOwn | None) -> Hub:
    return Hub(default_connect, options or QaiHubOwn())
