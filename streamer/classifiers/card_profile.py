"""The profile that the vendor's runner makes of a compiled program on a card, where both are there."""

import subprocess

from engine.backends.qaic.sdk import Sdk
from engine.errors import first_line
from streamer.classifiers.commands import runner_words
from streamer.classifiers.plan import RunPlan
from streamer.classifiers.work_directory import WorkDirectory

#: Beside the time that it runs: loading, and writing the profile.
_OVERHEAD_S = 300.0


def profile_on_card(plan: RunPlan, directory: WorkDirectory, sdk: Sdk) -> list[str]:
    """Have `qaic-runner` write `aic-profil*` and its own outputs beside ours.

    A run without it is whole: the figures are the session's.

    Returns:
        What it said of its own speed, or why there is no profile: a line.
    """
    runner = sdk.runner
    if runner is None:
        return [f"no profile of the card: {sdk.root / 'exec'} and PATH have no qaic-runner (the Apps SDK has it)"]
    words = runner_words(plan, directory, str(runner))
    try:
        done = subprocess.run(
            words,
            cwd=directory.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=plan.time_s + _OVERHEAD_S,
            check=True,
        )
    except subprocess.CalledProcessError as exc:
        said = f"{exc.stdout}\n{exc.stderr}".strip().splitlines()
        return [f"no profile of the card: qaic-runner ended with {exc.returncode}: {said[-1] if said else 'no word'}"]
    except (OSError, subprocess.TimeoutExpired) as exc:
        return [f"no profile of the card: {first_line(exc)}"]
    figures = [line.strip() for line in done.stdout.splitlines() if "Inf/Sec" in line]
    return [f"qaic-runner: {figures[-1]}"] if figures else []
