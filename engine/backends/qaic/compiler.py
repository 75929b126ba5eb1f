"""Compiling a model for a card, once for the same model and options."""

import fcntl
import json
import logging
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.backends.qaic.command import (
    OUTPUT_FILES,
    check_keywords,
    compile_flags,
    inferred_flags,
    profile_flags,
    specializations,
)
from engine.backends.qaic.devices import is_aic200
from engine.backends.qaic.record import Record, check_replaceable, is_current, put_in_place, write_record
from engine.backends.qaic.sdk import COMPILERS, ROOT_VARIABLE, Sdk
from engine.backends.qaic.source import ModelSource, digest_of, read_source
from engine.errors import BackendError, CompileError
from engine.models.files import QPC_FILE_NAME, ModelFile
from engine.models.graph import with_closed_symbols
from engine.options import SessionOptions

log = logging.getLogger(__name__)

LOG_NAME = "compile.log"
#: What the compiler takes where nobody says. Source: quic/cloud-ai-sdk-pages docs/ONNXRT QAIC/onnxruntime.md.
DEFAULT_CORES = 1
_OUTPUT_NAME = "qpc"
_LONGEST_REASON = 300


def find_compiler(sdk: Sdk) -> Path:
    """Return the compiler.

    Raises:
        BackendError: There is none.
    """
    program = sdk.compiler
    if program is None:
        raise BackendError(
            f"no compiler for Cloud AI 100: {sdk.root / 'exec'} and PATH have no {' or '.join(COMPILERS)} "
            f"(install the Apps SDK, which is for x86-64 only, set {ROOT_VARIABLE} to where it is, "
            "or give a QPC that was compiled elsewhere)"
        )
    return program


class QaicCompiler:
    """Runs the vendor's compiler. It has no time-out, since a large model takes long; an interrupt ends it."""

    def __init__(self, sdk: Sdk, extra_flags: Sequence[str] = ()) -> None:
        """Take what is common to all that it compiles.

        Args:
            sdk: Where the compiler is.
            extra_flags: What stands on its command line beside the keywords' own flags.
        """
        self._sdk = sdk
        self._extra_flags = extra_flags

    def compile(self, model: ModelFile, options: SessionOptions, open_batch: int = 1) -> ModelFile:
        """Make a program of a model, or find the one that was made before.

        Args:
            model: What is compiled.
            options: The keywords.
            open_batch: The batch of a model that leaves it open, where the keywords say nothing.

        Raises:
            ModelError: The model cannot be read.
            CompileError: The compiler refused it, or what it made cannot be put into its place.
            OptionsError: A keyword is missing, or does not go with the model.
            BackendError: There is no compiler.
        """
        check_keywords(model, options)
        source = read_source(model)
        if source.program is not None:
            given = options
            # The compiler refuses a symbol without a size. Source: pytorch/glow lib/Importer/ONNXModelLoader.cpp, from
            # which it has the flag.
            options = with_closed_symbols(source.program, given, model.path, open_batch)
            if options is not given and open_batch == 1:
                log.warning("%s is compiled for one row at a time: onnx_define_symbol says how many", model.path)
        program = find_compiler(self._sdk)
        hardware = [*self._hardware_flags(program), *self._extra_flags]
        flags = compile_flags(options)
        ladder = json.dumps(specializations(options), sort_keys=True)
        identity = [program.name, self._sdk.versions, *hardware, *flags, ladder]
        digest = digest_of(source, options, identity)
        target = Path(options.output_dir) if options.output_dir is not None else cache_directory() / digest
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _only_one(target, is_cache=options.output_dir is None):
                if not (is_current(target, digest) and _has_outputs(options)):
                    check_replaceable(target)
                    self._make(model, source, options, target, [str(program), f"-m={model.path}", *hardware], digest)
        except OSError as exc:
            raise CompileError(
                f"{model.path} cannot be compiled into {target}: {exc} (give another output_dir)"
            ) from exc
        return ModelFile(target / QPC_FILE_NAME, "qpc")

    def _make(
        self,
        model: ModelFile,
        source: ModelSource,
        options: SessionOptions,
        target: Path,
        command: list[str],
        digest: str,
    ) -> None:
        """Compile beside the target, and move the result to its place."""
        inferred = inferred_flags(options)
        if inferred:
            log.warning(
                "no public source shows %s: should the compiler refuse it, leave it out", " and ".join(inferred)
            )
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as folder:
            work = Path(folder)
            if options.dump_profile is not None:
                self._run([*command[:2], *profile_flags(options)], work, model, target)
            ladder = specializations(options)
            if ladder is not None:
                (work / "specializations.json").write_text(json.dumps(ladder), encoding="utf-8")
                command = [*command, f"-network-specialization-config={work / 'specializations.json'}"]
            command = [*command, *compile_flags(options), f"-aic-binary-dir={work / _OUTPUT_NAME}"]
            log.info("compiling %s; this may take minutes: %s", model.path, " ".join(command))
            self._run(command, work, model, target)
            made = work / _OUTPUT_NAME
            if not (made / QPC_FILE_NAME).is_file():
                raise _failed(model, "it says that it is done, and there is no program", work / LOG_NAME, target)
            shutil.move(work / LOG_NAME, made / LOG_NAME)
            if ladder is not None:
                shutil.move(work / "specializations.json", made / "specializations.json")
            cores = options.aic_num_cores or DEFAULT_CORES
            write_record(
                made,
                Record(
                    digest,
                    str(model.path),
                    cores,
                    tuple(command),
                    dict(source.program.metadata) if source.program is not None else {},
                ),
            )
            put_in_place(made, target)

    def _hardware_flags(self, program: Path) -> list[str]:
        """Return which card is compiled for.

        Source: quic/cloud-ai-sdk samples/python/common_utils.py for the old compiler; quic/efficient-transformers
        QEfficient/utils/device_utils.py and #1147 for the new one; docs/source/release_docs.md for -compile-only.
        """
        if program.name == "qaic-exec":
            return ["-aic-hw", "-aic-hw-version=2.0", "-compile-only"]
        return ["-aic-hw", f"-aic-hw-version={'ai200' if is_aic200(self._sdk) else 'ai100'}"]

    def _run(self, command: Sequence[str], work: Path, model: ModelFile, target: Path) -> None:
        """Run the compiler to its end, in a process group of its own, so that its helpers end with it."""
        with (work / LOG_NAME).open("ab") as output:
            try:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
                )
            except OSError as exc:
                raise BackendError(f"the compiler {command[0]} cannot be started: {exc.strerror}") from exc
            try:
                status = process.wait()
            except BaseException:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise
        if status != 0:
            how = f"ended by signal {-status}" if status < 0 else f"exit code {status}"
            raise _failed(model, _last_words(work / LOG_NAME) or how, work / LOG_NAME, target)


def cache_directory() -> Path:
    """Return where programs are kept that were given no place of their own.

    Raises:
        BackendError: Nobody knows this user's home.
    """
    try:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError as exc:
        raise BackendError(
            "there is no home to keep compiled programs in: set XDG_CACHE_HOME, or give output_dir"
        ) from exc
    return root / "streamer" / "qpc"


@contextmanager
def _only_one(target: Path, *, is_cache: bool) -> Iterator[None]:
    """Let one process compile into a place of the cache; others wait, and find it done."""
    if not is_cache:
        yield
        return
    with target.with_name(f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _has_outputs(options: SessionOptions) -> bool:
    """Tell whether the files are there that the compiler was to write besides the program."""
    names = (getattr(options, keyword) for keyword in OUTPUT_FILES)
    return all(Path(name).exists() for name in names if name is not None)


def _failed(model: ModelFile, reason: str, output: Path, target: Path) -> CompileError:
    """Keep the compiler's output beside the target, under a name that nothing has yet, and say what went wrong."""
    handle, kept = tempfile.mkstemp(prefix=f"{target.name}-", suffix=".log", dir=target.parent)
    os.close(handle)
    shutil.copyfile(output, kept)
    return CompileError(f"the compiler failed {model.path}: {reason} (all that it said is in {kept})")


def _last_words(output: Path) -> str:
    """Return the last line that tells of an error, else the last line."""
    lines = [line.strip() for line in output.read_text(encoding="utf-8", errors="replace").splitlines()]
    spoken = [line for line in lines if line]
    errors = [line for line in spoken if "error" in line.lower()]
    return (errors or spoken or [""])[-1][:_LONGEST_REASON]
