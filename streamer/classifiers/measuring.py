"""Asking a compiled model once, and running it as fast as it goes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.models.zoo.catalog import INPUT_NAME, OUTPUT_NAME
from engine.session import BenchmarkResult, Session
from streamer.classifiers.device import SIMULATOR
from streamer.classifiers.plan import RunPlan

#: What a step is called while it goes on.
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Measured:
    """What a device gave.

    Attributes:
        answers: float32[batch, classes], logits.
        concurrency: Activations, and batches in flight for each.
        detail: The back end's own line about the device.
    """

    answers: NDArray[np.float32]
    result: BenchmarkResult
    concurrency: tuple[int, int]
    detail: str
    is_simulated: bool


def random_pictures(plan: RunPlan) -> NDArray[np.float32]:
    """Return a batch of random pictures, the same for the same plan.

    Returns:
        float32[batch, 3, side, side], as normalised pictures are: of mean 0 and deviation 1.
    """
    return np.random.default_rng(0).standard_normal(plan.shape, np.float32)


def measure(
    program: Path, keywords: Mapping[str, Any], pictures: NDArray[np.float32], time_s: float, say: Say
) -> Measured:
    """Ask once, then run for a time.

    A simulated card computes the answers once, and then only takes its time: it would be no faster than this machine.

    Args:
        program: What was compiled, or what needs no compiling.
        keywords: Of `Session`.
        pictures: float32[batch, 3, side, side].
        time_s: For how long batches are begun.
        say: Told what goes on.
    """
    inputs = {INPUT_NAME: pictures}
    say("loading")
    with Session(program, **keywords, compile=False) as session:
        answers = np.ascontiguousarray(session.run(inputs)[OUTPUT_NAME], np.float32)
        if not session.is_simulated:
            return _timed(session, inputs, answers, time_s, say)
    with Session(program, **keywords, compile=False, compute="none") as session:
        return _timed(session, inputs, answers, time_s, say)


def time_of(
    program: Path, keywords: Mapping[str, Any], pictures: NDArray[np.float32], time_s: float
) -> BenchmarkResult:
    """Run for a time, without looking at the answers; a simulated card computes none.

    Args:
        program: The ONNX file.
        keywords: Of `Session`.
        pictures: float32[batch, 3, side, side].
        time_s: For how long batches are begun.
    """
    compute: dict[str, Any] = {"compute": "none"} if keywords["backend"] == SIMULATOR else {}
    with Session(program, **keywords, **compute) as session:
        return session.run_benchmark(inf_time=time_s, input_dict={INPUT_NAME: pictures})


def _timed(
    session: Session, inputs: Mapping[str, NDArray[Any]], answers: NDArray[np.float32], time_s: float, say: Say
) -> Measured:
    say(f"running for {time_s:g} s")
    result = session.run_benchmark(inf_time=time_s, input_dict=inputs)
    options = session.backend_options()
    concurrency = options["num_activations"], options["set_size"]
    return Measured(answers, result, concurrency, session.health().detail, session.is_simulated)
