"""Several compiled batch sizes of one model: the smallest that fits is used."""

from collections.abc import Mapping
from dataclasses import replace

from engine.backends.network import Network, Outputs
from engine.models.program import Program, Tensors


class LadderNetwork(Network):
    """One network for each batch size, for devices whose programs have one size each."""

    def __init__(self, networks: Mapping[int, Network]) -> None:
        """Put them together.

        Args:
            networks: By the batch size that each takes; at least one.
        """
        self._networks = dict(sorted(networks.items()))
        largest = next(reversed(self._networks.values()))
        self.slots = largest.slots
        self.detail = largest.detail
        self.is_simulated = largest.is_simulated
        self.timeout_s = largest.timeout_s
        self.program = _open_batch(largest.program, tuple(self._networks))

    def infer(self, inputs: Tensors, rows: int | None) -> Outputs:
        """Let the network of this batch size compute."""
        size = rows if rows is not None else len(inputs[self.program.inputs[0].name])
        network = self._networks.get(size)
        if network is None:
            raise ValueError(f"the program has no batch of {size}: it has {', '.join(map(str, self._networks))}")
        return network.infer(inputs, rows)

    def unload(self) -> None:
        """Let them all go."""
        for network in self._networks.values():
            network.unload()


def _open_batch(program: Program, sizes: tuple[int, ...]) -> Program:
    if len(sizes) == 1:
        return program
    inputs = tuple(replace(spec, shape=(None, *spec.shape[1:])) for spec in program.inputs)
    outputs = tuple(
        replace(spec, shape=(None, *spec.shape[1:])) if spec.shape[:1] == (sizes[-1],) else spec
        for spec in program.outputs
    )
    return replace(program, inputs=inputs, outputs=outputs, ladder=sizes)
