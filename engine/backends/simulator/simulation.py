"""What of the vendor's figures a simulation stands for, and what it does not."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from engine.backends.simulator.figures import CardFigures
from engine.errors import OptionsError
from engine.models.program import Program, TensorSpec
from engine.options import SessionOptions


@dataclass(frozen=True, slots=True)
class Simulation:
    """What the times of a simulated card rest upon; what a report of them says.

    Attributes:
        row: Of the published figures, as MODEL/OBJECTIVE.
        images_per_s: What the card reaches with all its places busy.
        latency_ms: Of a batch then; None where the vendor's figures do not bear it out.
        note: Where the latency comes from, in one line.
    """

    row: str
    images_per_s: float
    latency_ms: float | None
    note: str


@dataclass(frozen=True, slots=True)
class Placement:
    """A program of the published figures, as it is put onto the card.

    Attributes:
        instances: Of those that fill the card.
        set_size: Batches in flight for each.
    """

    figures: CardFigures
    instances: int
    set_size: int

    @property
    def simulation(self) -> Simulation:
        """What its times rest upon."""
        figures = self.figures
        listed_ms, predicted_ms = figures.latency_p95_ms, figures.latency_predicted_ms
        latency_ms: float | None = None
        if self.set_size != figures.set_size:
            note = f"throughput only: the figures are for set_size {figures.set_size}, not {self.set_size}"
        elif listed_ms is None:
            note = "throughput only: no latency is listed"
        elif figures.latency_is_reproduced:
            latency_ms = predicted_ms
            note = f"listed latency {listed_ms:.2f} ms, by Little's law {predicted_ms:.2f} ms"
        else:
            note = (
                f"throughput only: listed latency {listed_ms:.2f} ms does not follow from Little's law "
                f"({predicted_ms:.2f} ms)"
            )
        if self.instances != figures.instances:
            note += f"; {self.instances} of {figures.instances} activations, with their share of the throughput"
        images_per_s = figures.images_per_s * self.instances / figures.instances
        return Simulation(figures.name, images_per_s, latency_ms, note)


def placement(figures: CardFigures, keywords: SessionOptions) -> Placement:
    """Put a program onto the card.

    Raises:
        OptionsError: `num_activations` are more than the card has room for.
    """
    instances = keywords.num_activations or figures.instances
    if instances > figures.instances:
        raise OptionsError(
            f"num_activations is {instances}: the {figures.instances} of row {figures.name}, with {figures.cores} "
            f"cores each, fill the card: give at most {figures.instances}, or leave it out"
        )
    return Placement(figures, instances, keywords.set_size or figures.set_size)


def frames_program(figures: CardFigures) -> Program:
    """Return the program of a card without a model: decoded frames as they are, and no answers."""
    side_px = figures.image_size_px
    image = TensorSpec("image", (figures.batch_size, side_px, side_px, 3), np.dtype(np.uint8))
    metadata: Mapping[str, str] = {"streamer.name": figures.name}
    return Program((image,), (), metadata)


def with_batch_of(program: Program, figures: CardFigures) -> Program:
    """Return a model's program with the batch that the figures were measured with: a card's is compiled in.

    Raises:
        OptionsError: The model has another one.
    """
    size, sizes = figures.batch_size, program.batch_sizes
    if sizes and sizes != (size,):
        raise OptionsError(
            f"row {figures.name} is published for batches of {size}, the model has {', '.join(map(str, sizes))}: "
            f"give a model whose first axis is open or {size}, or a row with its batch"
        )
    symbol = program.inputs[0].symbols[:1] if program.inputs else ()
    return replace(
        program,
        inputs=tuple(_fixed(spec, size) for spec in program.inputs),
        # An open first axis with a name of its own is not the batch's.
        outputs=tuple(
            _fixed(spec, size) if spec.symbols[:1] in ((), (None,), symbol) else spec for spec in program.outputs
        ),
    )


def _fixed(spec: TensorSpec, size: int) -> TensorSpec:
    return replace(spec, shape=(size, *spec.shape[1:])) if spec.shape[:1] == (None,) else spec
