"""Whether a plan holds: one of its workers on a simulated card, the real broker, and more and more cameras.

What is measured first: the rate of a worker that always has work, and the latency at 0.3 and 0.6 of it. What is
predicted from it: the most cameras that are served in time, and the latency with the headroom left free. What is then
found, with cameras that keep their pace whatever becomes of their frames: both. A machine gets warm, or has neighbours:
the rate is measured again at the end, and the most cameras are those of the mean of both rates.
"""

import os
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Final

from streamer.sizing.bench import Bench
from streamer.sizing.errors import TrialError
from streamer.sizing.measure import Length, Say, measured, saturated
from streamer.sizing.plan import Plan
from streamer.sizing.search import BorderSearch
from streamer.sizing.trial import LoadTrial

_TRIAL_S: Final = 8.0
_REPEATS: Final = 3
_MOST_TRIALS: Final = 12
#: Predicted and found figures that are no farther apart agree.
TOLERANCE: Final = 0.15


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is tried.

    Attributes:
        trial_s: Of a trial.
        most_trials: In the search for the most cameras.
        repeats: Trials at the planned number of cameras.
        measuring: What comes before.
    """

    trial_s: float = _TRIAL_S
    most_trials: int = _MOST_TRIALS
    repeats: int = _REPEATS
    measuring: Length = field(default_factory=Length)


@dataclass(frozen=True, slots=True)
class Verification:
    """What was predicted for this machine, and what was found.

    Attributes:
        cores: Of this machine, for worker, broker and cameras.
        saturated_fps: Frames/s of a worker that always has work: before the trials, and after them.
        predicted_cameras: The most that are served in time.
        planned_cameras: Those of the plan's fullest worker, or as many as leave the headroom free here where those are
            fewer, but one at the least: where the latency is compared.
        scale: The latter as a share of the former.
        trials: In the order in which they were made; those at `planned_cameras` are first.
    """

    cores: int
    saturated_fps: tuple[float, float]
    scale: float
    predicted_cameras: int
    found_cameras: int
    planned_cameras: int
    predicted_p99_ms: float
    found_p99_ms: float
    found_p99_of_all_ms: float
    found_drop_rate: float
    trials: tuple[LoadTrial, ...]

    @property
    def drift(self) -> float:
        """By what share the machine got faster (or slower, below zero) while it was tried."""
        before, after = self.saturated_fps
        return after / before - 1

    @property
    def cameras_error(self) -> float:
        """How far the prediction is off, as a share of what was found."""
        return self.predicted_cameras / self.found_cameras - 1 if self.found_cameras else 1.0

    @property
    def p99_error(self) -> float:
        """The same of the latency."""
        return self.predicted_p99_ms / self.found_p99_ms - 1

    @property
    def has_held(self) -> bool:
        """Whether both predictions are near enough."""
        return abs(self.cameras_error) <= TOLERANCE and abs(self.p99_error) <= TOLERANCE


def planned_cameras(plan: Plan, predicted: int) -> int:
    """Return with how many cameras the latency is compared: at least one.

    Args:
        plan: Of whose fullest worker they are.
        predicted: The most that are served in time on this machine, of which the headroom stays free.
    """
    free = int(predicted * (1 - plan.wish.headroom))
    return max(min(free, int(plan.worker_fps / plan.wish.fps)), 1)


def verify(plan: Plan, bench: Bench, say: Say, effort: Effort | None = None) -> Verification:
    """Measure, predict, and find out.

    Args:
        plan: Of which one worker is tried.
        bench: Where.
        say: Told what is going on, a line at a time.
        effort: How much is tried.

    Raises:
        TrialError: This machine is too slow for a single camera, or a process failed.
    """
    effort, wish, trials = effort or Effort(), plan.wish, list[LoadTrial]()
    say("measuring what a worker does here that always has work")
    here = measured(bench, plan.lane, wish, effort.measuring)
    lane = here.lane
    predicted = int(lane.timely_fps() / wish.fps)
    if not predicted:
        raise TrialError(
            f"not one camera of {wish.fps:g} frames/s is served within {wish.budget_s * 1e3:.0f} ms (a worker does "
            f"{here.fps:.0f} frames/s here): this machine is too slow, or too busy, to try anything"
        )
    planned = planned_cameras(plan, predicted)
    predicted_p99_ms = lane.latency(planned * wish.fps).total_s * 1e3
    say(
        f"{here.fps:.0f} frames/s: {predicted} cameras are predicted at the most, p99 {predicted_p99_ms:.0f} ms "
        f"with {planned}"
    )

    def tried(cameras: int) -> LoadTrial:
        trial = bench.run(cameras, wish.fps, effort.trial_s)
        trials.append(trial)
        is_kept = trial.passes(wish.budget_s, wish.drop_rate)
        say(f"trial {len(trials)}: {cameras} cameras, {_told(trial)}: {'kept' if is_kept else 'not kept'}")
        return trial

    at_plan = [tried(planned) for _ in range(effort.repeats)]
    search = BorderSearch(lambda cameras: tried(cameras).passes(wish.budget_s, wish.drop_rate), most=effort.most_trials)
    found = search.largest(predicted)
    say("measuring again what a worker does that always has work")
    after = saturated(bench, lane, effort.measuring.saturated_s, effort.measuring.saturated_s)
    saturated_fps = (here.fps, after.load.result_fps)
    return Verification(
        cores=os.cpu_count() or 1,
        saturated_fps=saturated_fps,
        scale=min(planned * wish.fps / plan.worker_fps, 1.0),
        predicted_cameras=int(here.at(fmean(saturated_fps)).timely_fps() / wish.fps),
        found_cameras=found,
        planned_cameras=planned,
        predicted_p99_ms=predicted_p99_ms,
        found_p99_ms=median(trial.p99_ms for trial in at_plan),
        found_p99_of_all_ms=median(trial.p99_of_all_ms for trial in at_plan),
        found_drop_rate=median(trial.drop_rate for trial in at_plan),
        trials=tuple(trials),
    )


def _told(trial: LoadTrial) -> str:
    told = f"p99 {trial.p99_ms:.0f} ms"
    if trial.drop_rate > 0:
        told += f", {trial.drop_rate:.1%} dropped"
    if not trial.is_played:
        told += f", the cameras themselves {trial.load.late_p99_ms:.0f} ms late"
    return told
