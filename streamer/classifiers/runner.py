"""One run: build, export, compile, ask once, measure."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.backends.qaic.compiler import find_compiler
from engine.backends.qaic.sdk import find_sdk
from engine.models.files import locate_model
from engine.models.zoo.agreement import compare
from engine.models.zoo.building import Weights, ZooModel, build
from engine.models.zoo.catalog import CLASSES, find_architecture
from engine.models.zoo.export import check_opset, export_onnx
from engine.session_keywords import read_keywords
from streamer.classifiers.card_profile import profile_on_card
from streamer.classifiers.commands import batch_io, card_commands, streamer_commands
from streamer.classifiers.device import CARD_BACKEND, Device
from streamer.classifiers.errors import ClassifierError, NothingCompiledError
from streamer.classifiers.measuring import Say, measure, random_pictures
from streamer.classifiers.plan import RunPlan
from streamer.classifiers.records import Compiled, Exported, read_compiled, read_exported
from streamer.classifiers.report import Report, Timing
from streamer.classifiers.work_directory import WorkDirectory


class ClassifierRun:
    """A plan on a device, in a working directory.

    Attributes:
        directory: That of the model.
    """

    def __init__(self, plan: RunPlan, device: Device, weights: Weights | None, base: Path) -> None:
        """Take what is run.

        Args:
            plan: How.
            device: Where.
            weights: None for `pretrained`, or for whatever was exported before.
            base: Where the model's working directory is, or is made.
        """
        self._plan = plan
        self._device = device
        self._weights: Weights | None = weights
        self.directory = WorkDirectory(base, plan, device.name)

    def run(self, say: Say) -> Report:
        """Do all of it.

        Raises:
            ClassifierError: A file is in the way, or the answers are of a wrong shape.
            EngineError: The model, the device, or what was asked of them.
        """
        self.check()
        with self.directory.opened():
            exported = self._prepare(say)
            compiled = self._compile(exported, say)
            return self._measure(exported, compiled, say)

    def run_only(self, say: Say) -> Report:
        """Run what was compiled before.

        Raises:
            NothingCompiledError: There is nothing, or it is something else than what is wanted.
            EngineError: The device, or what was asked of it.
        """
        if not self.directory.root.is_dir():
            raise NothingCompiledError(f"nothing was compiled in {self.directory.root}: run it without --run-only")
        with self.directory.opened():
            exported = read_exported(self.directory, self._plan, self._weights)
            compiled = read_compiled(self.directory, exported, self._device.name)
            return self._measure(exported, compiled, say)

    # Making.

    def check(self) -> None:
        """Refuse what cannot be made or run, before anything is made, and before torch is loaded.

        Raises:
            PlanError: The simulator has no figures for it.
            EngineError: There is no such opset, or nothing that compiles.
        """
        check_opset(find_architecture(self._plan.model), self._plan.opset)
        self._device.keywords(self._plan, self.directory.compiled, has_open_batch=True)
        if self._device.is_card:
            find_compiler(find_sdk())

    def export(self, say: Say) -> tuple[ZooModel, Exported]:
        """Build the model, and export it; the working directory is open.

        Raises:
            PlanError: A file is in the way.
            EngineError: The model cannot be made, or not like this.
        """
        plan, directory = self._plan, self.directory
        weights: Weights = self._weights or "pretrained"
        say("building")
        model = build(find_architecture(plan.model), weights, plan.image_size_px)
        say("exporting")
        with directory.replacing(directory.model) as path:
            export = export_onnx(model, path, opset=plan.opset)
            if not export.has_dynamic_batch and plan.batch_size > 1:
                export = export_onnx(model, path, opset=plan.opset, batch_size=plan.batch_size)
        exported = Exported.of(plan, weights, export, directory.model)
        directory.write(directory.export_record, exported.text())
        return model, exported

    def _prepare(self, say: Say) -> Exported:
        """Export the model, and ask torch for its answers; its memory is free again afterwards."""
        plan, directory = self._plan, self.directory
        model, exported = self.export(say)
        say("asking torch")
        pictures = random_pictures(plan)
        reference = np.ascontiguousarray(model.answer(pictures), np.float32)
        directory.write(directory.input, pictures.tobytes())
        directory.write(directory.reference, reference.tobytes())
        directory.write(directory.batch_io, batch_io(plan, directory))
        directory.write(directory.input_list, f"{directory.relative(directory.input)}\n")
        self._write_commands(exported)
        return exported

    def _write_commands(self, exported: Exported) -> None:
        plan, directory = self._plan, self.directory
        has_open_batch = exported.batch_size is None
        lines = streamer_commands(plan, self._device, exported.weights)
        on_card = WorkDirectory(directory.root.parent, plan, CARD_BACKEND)
        for_card = card_commands(plan, on_card, has_open_batch=has_open_batch)
        if self._device.is_card:
            directory.write(directory.commands, f"{for_card}\n{lines}")
        else:
            directory.write(on_card.commands, for_card)
            directory.write(directory.commands, lines)

    def _compile(self, exported: Exported, say: Say) -> Compiled:
        directory = self.directory
        say("compiling")
        said = read_keywords(self._keywords(exported))
        directory.claim(directory.compiled)
        file = said.backend().compile(locate_model(directory.model), said.options)
        if file.path == directory.model and not any(directory.compiled.glob("*")):
            text = f"Back end {self._device.name} compiles nothing ahead of the run: it takes ../model/model.onnx.\n"
            directory.write(directory.compiled / "nothing-compiled.txt", text)
        compiled = Compiled(self._device.name, directory.relative(file.path), exported.digest)
        directory.write(directory.compile_record, compiled.text())
        return compiled

    def _keywords(self, exported: Exported) -> dict[str, object]:
        has_open_batch = exported.batch_size is None
        return self._device.keywords(self._plan, self.directory.compiled, has_open_batch=has_open_batch)

    # Measuring.

    def _measure(self, exported: Exported, compiled: Compiled, say: Say) -> Report:
        plan, directory, device = self._plan, self.directory, self._device
        if exported.opset != exported.asked_opset:
            plan = plan.changed(origins={**plan.origins, "opset": "raised"})
        pictures = self._read(directory.input, plan.shape)
        reference = self._read(directory.reference, (plan.batch_size, CLASSES))
        program = directory.root / compiled.program
        measured = measure(program, self._keywords(exported), pictures, plan.time_s, say)
        if measured.answers.shape != reference.shape:
            raise ClassifierError(f"{plan.model} gave {measured.answers.shape} on {device.name}, not {reference.shape}")
        directory.write(directory.output, measured.answers.tobytes())
        timing = Timing.of(measured.result)
        notes = [*exported.notes, *device.notes(plan), *timing.notes]
        if device.is_card:
            say("profiling")
            notes += profile_on_card(plan, directory, find_sdk())
        return Report(
            plan=plan,
            backend=device.name,
            detail=measured.detail,
            is_simulated=measured.is_simulated,
            weights=exported.weights,
            opset=exported.opset,
            concurrency=measured.concurrency,
            timing=timing,
            answers=measured.answers,
            agreement=compare(measured.answers, reference),
            is_judged=device.is_exact,
            directory=directory.root,
            notes=tuple(notes),
        )

    @staticmethod
    def _read(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
        try:
            return np.fromfile(path, np.float32).reshape(shape)
        except (OSError, ValueError) as exc:
            raise ClassifierError(f"{path} has no float32{list(shape)}: {exc}: run it without --run-only") from exc
