"""Whether inputs fit: what the CPU device does not always ask."""

from threading import Lock
from typing import Any

from engine.models.program import Tensors

#: So many shapes of inputs are remembered as fitting.
_MAX_SHAPES = 1024
_UNCHECKED = (
    "shapes within the model depend on the pixels, and with one CPU core OpenVINO does not check them: "
    "use back end onnxruntime"
)


class Shapes:
    """Which shapes of inputs fit a model with open axes.

    A CPU device with a single thread does not look: where shapes do not fit each other it answers with what it
    computed before, or breaks the process.

    Attributes:
        may_depend_on_data: Whether shapes within the model may depend on what is computed.
    """

    def __init__(self, model: Any, *, is_checked: bool) -> None:
        """Try one row.

        Args:
            model: An `openvino.Model`.
            is_checked: Whether the device looks at shapes that depend on what is computed.

        Raises:
            ValueError: The model has such shapes, and the device does not look.
        """
        self._model = model
        self._is_checked = is_checked
        self._lock = Lock()
        self._known: set[tuple[tuple[str, tuple[int, ...]], ...]] = set()
        self._is_open = any(port.partial_shape.is_dynamic for port in model.inputs)
        self.may_depend_on_data = True
        try:
            self.may_depend_on_data = self._reshaped_is_open(
                {
                    port.any_name: [axis.get_length() if axis.is_static else 1 for axis in port.partial_shape]
                    for port in model.inputs
                }
            )
        except Exception:  # noqa: BLE001 - one row, or one pixel, does not fit: the inputs themselves will show
            return
        if self.may_depend_on_data and not is_checked:
            raise ValueError(_UNCHECKED)

    def check(self, inputs: Tensors) -> None:
        """Refuse inputs whose shapes do not fit.

        Raises:
            RuntimeError: OpenVINO's, with what does not fit.
            ValueError: Shapes within the model depend on the data, and the device does not look at them.
        """
        if not self._is_open:
            return
        shapes = {name: value.shape for name, value in inputs.items()}
        key = tuple(shapes.items())
        if key in self._known:
            return
        with self._lock:
            if self._reshaped_is_open({name: list(shape) for name, shape in shapes.items()}) and not self._is_checked:
                raise ValueError(_UNCHECKED)
            if len(self._known) < _MAX_SHAPES:
                self._known.add(key)

    def _reshaped_is_open(self, shapes: dict[str, list[int]]) -> bool:
        copy = self._model.clone()
        copy.reshape(shapes)
        return bool(copy.is_dynamic())
