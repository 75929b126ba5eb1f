"""Finding Kafka's jars: those of KAFKA_HOME, else those that jgo fetches from Maven Central."""

import fcntl
import json
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from messaging.broker.errors import BrokerDownloadError, BrokerMissingError, BrokerSettingError
from messaging.broker.options import ProgressCallback, StartProgress, StartStep, ignore_progress

KAFKA_VERSION = "4.3.1"

#: Kafka, and a binding for its log: without one Kafka says nothing at all, not even why it ends.
ENDPOINT = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"


def find_jars(
    on_progress: ProgressCallback = ignore_progress, environment: Mapping[str, str] = os.environ
) -> tuple[Path, ...]:
    """Find the jars of Kafka's class path, fetching them the first time.

    The list is kept in the cache directory, so that a later start needs neither jgo nor a network.

    Args:
        on_progress: Told of `RESOLVE` and, jar by jar, of `DOWNLOAD`; of nothing where the list was kept.
        environment: The process's environment variables, or others for a test.

    Raises:
        BrokerSettingError: KAFKA_HOME is set and holds no Kafka.
        BrokerMissingError: jgo is not installed.
        BrokerDownloadError: The jars could not be fetched.
    """
    if kafka_home := environment.get("KAFKA_HOME"):
        return _jars_of_home(Path(kafka_home))
    kept = _cache_directory(environment) / f"kafka-{KAFKA_VERSION}.json"
    if jars := read_jar_list(kept):
        return jars
    if not find_spec("jgo"):
        raise BrokerMissingError(
            "no Kafka is here: jgo, which fetches it, is not installed; "
            "run pip install 'aic-streamer[broker]', or set KAFKA_HOME to a Kafka of your own"
        )
    with _one_at_a_time(kept.with_suffix(".lock")):
        jars = read_jar_list(kept)  # another process may have fetched them while this one waited
        if not jars:
            jars = _fetch(on_progress)
            write_jar_list(kept, jars)
    return jars


def read_jar_list(kept: Path) -> tuple[Path, ...]:
    """Read a kept list of jars; empty where there is none, or where a jar is gone or has another size."""
    try:
        listed = [(Path(jar["path"]), int(jar["size_bytes"])) for jar in json.loads(kept.read_text("utf-8"))]
        is_whole = all(path.stat().st_size == size_bytes for path, size_bytes in listed)
    except (OSError, ValueError, TypeError, KeyError):
        return ()
    return tuple(path for path, _ in listed) if is_whole else ()


def write_jar_list(kept: Path, jars: Sequence[Path]) -> None:
    """Keep a list of jars, all of it or nothing."""
    draft = kept.with_suffix(f".{os.getpid()}")
    listed = [{"path": str(jar), "size_bytes": jar.stat().st_size} for jar in jars]
    draft.write_text(json.dumps(listed, indent=1), "utf-8")
    draft.replace(kept)


def _jars_of_home(kafka_home: Path) -> tuple[Path, ...]:
    """Give the jars of an unpacked Kafka."""
    jars = tuple(sorted((kafka_home / "libs").glob("*.jar")))
    if not any(jar.name.startswith("kafka_") for jar in jars):
        raise BrokerSettingError(f"KAFKA_HOME is {kafka_home}, but its libs hold no kafka_*.jar; correct or unset it")
    return jars


def _cache_directory(environment: Mapping[str, str]) -> Path:
    """Give the directory for what can be fetched again, made if need be."""
    base = environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME") or Path.home()) / ".cache"
    directory = Path(base) / "aic-streamer"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@contextmanager
def _one_at_a_time(lock: Path) -> Iterator[None]:
    """Keep other processes out of the block: jgo writes straight into its store."""
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _fetch(on_progress: ProgressCallback) -> tuple[Path, ...]:
    """Let jgo work out Kafka's dependencies and fetch what is not in its store yet.

    `jgo.build` is not used: an interrupted build leaves an environment that the next one takes for whole.
    """
    import jgo
    from jgo.config import GlobalSettings

    on_progress(StartProgress(StartStep.RESOLVE))
    jars: list[Path] = []
    try:
        artifacts = jgo.resolve(ENDPOINT, repositories=GlobalSettings.load().repositories)
        for artifact in artifacts:
            on_progress(StartProgress(StartStep.DOWNLOAD, len(jars), len(artifacts)))
            jars.append(_fetch_one(artifact))
    except Exception as exc:  # jgo has no errors of its own: RuntimeError, ValueError, requests'
        raise BrokerDownloadError(
            f"Kafka {KAFKA_VERSION} could not be fetched ({type(exc).__name__}: {_one_line(exc)}); "
            "try again with a network, or set KAFKA_HOME to a Kafka of your own"
        ) from exc
    on_progress(StartProgress(StartStep.DOWNLOAD, len(jars), len(jars)))
    return tuple(jars)


def _fetch_one(artifact: Any) -> Path:
    """Fetch one jar, a second time where an earlier download was cut short and left half of it."""
    jar = Path(artifact.resolve())
    if not zipfile.is_zipfile(jar):
        jar.unlink()
        jar = Path(artifact.resolve())
        if not zipfile.is_zipfile(jar):
            raise ValueError(f"{jar.name} came damaged twice")
    return jar


def _one_line(exc: Exception) -> str:
    """Give an error's text on one line of bounded length."""
    return " ".join(str(exc).split())[:300]
