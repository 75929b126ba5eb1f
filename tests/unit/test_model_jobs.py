"""Work on models in processes of their own: bounded, ended, and told of by names that people know."""

import os
import signal
import zipfile
from pathlib import Path

import pytest

from engine.errors import ModelError, OptionsError
from streamer.web.model_work import tasks
from streamer.web.model_work.environment import job_environment
from streamer.web.model_work.job import Job, JobError, JobLimits, Workbench
from tests.fakes.conv_models import save_conv
from tests.fakes.waiting import wait_until

LIMITS = JobLimits(timeout_s=60, memory_bytes=4 * 1024**3, file_bytes=1024**3)


def check(path: Path, limits: JobLimits = LIMITS) -> Job:
    """Begin to look at a file."""
    arguments = {"path": str(path), "name": "a.onnx", "suffix": ".onnx"}
    return Job({"task": "check", "arguments": arguments}, limits, {str(path): 'their "a.onnx"'})


def ended(job: Job) -> Job:
    wait_until(lambda: job.is_done, "the job ends")
    return job


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A file that whoever opens it waits at for ever."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def test_what_is_wrong_is_said_with_the_name_that_people_know(tmp_path: Path) -> None:
    job = ended(check(tmp_path / "not-there"))
    with pytest.raises(JobError, match=r'their "a\.onnx"'):
        job.result()
    assert job.lines == ["looking at a.onnx"]


def test_what_takes_too_long_is_ended(pipe: Path) -> None:
    job = ended(check(pipe, JobLimits(0.2, LIMITS.memory_bytes, LIMITS.file_bytes)))
    with pytest.raises(JobError, match="longer than 0 s and was ended: start with a longer --job-timeout"):
        job.result()


def test_what_needs_too_much_memory_fails_alone(tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.write(b"\x08\x08\x12\xff\xff\xff\xff\x07")
        file.truncate(600 * 1024**2)
    job = ended(check(large, JobLimits(60, 512 * 1024**2, LIMITS.file_bytes)))
    with pytest.raises(JobError, match="--job-memory"):
        job.result()


def test_one_is_cancelled_and_makes_room_for_another(pipe: Path) -> None:
    bench = Workbench(LIMITS)

    def begin() -> Job:
        return bench.start("check", path=str(pipe), name="a.onnx", suffix=".onnx")

    jobs = [begin() for _ in range(2)]
    wait_until(lambda: all(job.lines for job in jobs), "both are at work")
    with pytest.raises(JobError, match="others work on models"):
        begin()
    jobs[0].cancel()
    with pytest.raises(JobError, match="cancelled"):
        ended(jobs[0]).result()
    jobs.append(begin())
    bench.close()
    wait_until(lambda: all(job.is_done for job in jobs), "closing ends them")


def test_an_answer_that_is_too_long_is_an_error_and_no_part_of_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sent"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", b"")
    request = {"task": "check", "arguments": {"path": str(path), "name": "a" * 9 * 1024**2, "suffix": ".pt"}}
    job = ended(Job(request, LIMITS, {}))
    with pytest.raises(JobError, match=r"the answer is larger than 8\.0 MiB"):
        job.result()
    assert job.lines == []


def test_what_a_job_leaves_running_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note = tmp_path / "number"
    (tmp_path / "sitecustomize.py").write_text(
        "import pathlib, subprocess\n"
        "child = subprocess.Popen(['sleep', '100'])\n"  # it holds the output that the job is heard by
        f"pathlib.Path({str(note)!r}).write_text(str(child.pid))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    job = check(tmp_path / "not-there")
    wait_until(lambda: job._process is not None and not is_alive(job._process.pid), "its first process has ended")
    child = int(note.read_text())
    try:
        job.cancel()
        ended(job)
        wait_until(lambda: not is_alive(child), "what it started ends")
    finally:
        if is_alive(child):
            os.kill(child, signal.SIGKILL)


def is_alive(process: int) -> bool:
    """Tell whether a process runs; one that has ended may wait for its parent to be told."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_job_gets_what_tools_need_and_no_secret() -> None:
    needed = {
        "PATH": "/bin",
        "LC_ALL": "C",
        "CC": "clang",
        "QAIC_SDK_ROOT": "/opt/qti-aic",
        "OMP_NUM_THREADS": "1",
        "LD_LIBRARY_PATH": "/lib",
    }
    others = (
        *("AWS_SECRET_ACCESS_KEY", "KAFKA_PASSWORD", "OTEL_EXPORTER_OTLP_HEADERS", "HF_TOKEN", "HTTPS_PROXY"),
        *("STREAMER_WORKER_TOKEN", "PYTHONSTARTUP", "GITHUB_TOKEN", "PATH_TOKEN"),
    )
    assert job_environment(needed | dict.fromkeys(others, "x")) == needed | {"PYTHONDONTWRITEBYTECODE": "1"}


def test_settings_and_tokens_stay_here(pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMER_MANAGER_TOKEN", "correct-horse-battery")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "correct-horse-battery")
    job = check(pipe)
    try:
        wait_until(lambda: bool(job.lines), "it is at work")
        process = job._process
        assert process is not None
        assert b"correct-horse" not in Path(f"/proc/{process.pid}/environ").read_bytes()
    finally:
        job.cancel()
        ended(job)


def test_a_program_of_torchs_is_not_opened_for_whoever_sends_it(tmp_path: Path) -> None:
    for member, is_program in (
        ("model/constants.pkl", True),
        ("model/archive_format", True),
        ("model/data.pkl", False),
    ):
        path = tmp_path / "sent"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(member, b"")
        if is_program:
            with pytest.raises(ModelError, match=r"bottles\.pt is a program of torch's.*streamer convert"):
                tasks.check(lambda _: None, path=str(path), name="bottles.pt", suffix=".pt")
        else:
            assert tasks.check(lambda _: None, path=str(path), name="bottles.pt", suffix=".pt") == {"suffix": ".pt"}


def converted(source: Path, suffix: str, level: int) -> list[str]:
    """Optimise and quantise a model as the page does; return the steps."""
    done = tasks.convert(
        lambda _: None,
        source=str(source),
        destination=str(source.with_name(f"made{suffix}")),
        optimization_level=level,
        is_quantized=True,
        architecture=None,
        input_shape=None,
    )
    return [step["what"] for step in done["steps"]]


def test_what_is_optimised_for_this_processor_is_quantised_before(tmp_path: Path) -> None:
    source = save_conv(tmp_path / "conv.onnx")
    assert converted(source, ".onnx", 2) == ["optimised, level 2", "quantised to int8"]
    assert converted(source, ".onnx", 3) == ["quantised to int8", "optimised, level 3"]
    with pytest.raises(OptionsError, match="level 3 makes operators that only ONNX Runtime has"):
        converted(source, ".npz", 3)
