"""TFLite models as ONNX: every operator answers as LiteRT's interpreter does, float and quantised."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from engine.errors import ModelError
from engine.models.tools.comparison import compare_models, open_model
from engine.models.tools.tflite_conversion import tflite_to_onnx
from tests.fakes.optional_backends import need
from tests.fakes.tflite_builder import TfliteBuilder

pytestmark = pytest.mark.usefixtures("_software")

RANDOM = np.random.default_rng(5)
#: Adds operators to a picture, and returns the result.
Make = Callable[[TfliteBuilder, int], int]
PICTURE = (1, 7, 6, 4)
#: Of 255: where a product lies between two steps, the runtimes may take one each, and softmax spreads that a little.
QUANTISED_STEPS = 3


@pytest.fixture(scope="module")
def _software() -> None:
    need("ai_edge_litert")


def weights(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def converted(builder: TfliteBuilder, folder: Path, inputs: list[int], outputs: list[int]) -> tuple[Path, Path]:
    source = builder.save(folder / "model.tflite", inputs, outputs)
    tflite_to_onnx(source, folder / "model.onnx")
    return source, folder / "model.onnx"


def unary(name: str, shape: tuple[int, ...] = PICTURE, **options: object) -> Make:
    return lambda build, x: build.add(name, [x], build.tensor("y", shape), options)


def with_constant(name: str, value: np.ndarray | np.generic) -> Make:
    return lambda build, x: build.add(name, [x, build.constant(value)], build.tensor("y", PICTURE))


def shaped(name: str, numbers: object, shape: tuple[int, ...], **options: object) -> Make:
    def make(build: TfliteBuilder, x: int) -> int:
        return build.add(name, [x, build.constant(np.asarray(numbers, np.int32))], build.tensor("y", shape), options)

    return make


def conv(stride: int, padding: int, shape: tuple[int, ...], activation: int = 0, dilation: int = 1) -> Make:
    options = {
        "strideH": stride, "strideW": stride, "padding": padding, "fusedActivationFunction": activation,
        "dilationHFactor": dilation, "dilationWFactor": dilation,
    }  # fmt: skip

    def make(build: TfliteBuilder, x: int) -> int:
        inputs = [x, build.constant(weights(5, 3, 2, 4)), build.constant(weights(5))]
        return build.add("CONV_2D", inputs, build.tensor("y", shape), options)

    return make


def depthwise(build: TfliteBuilder, x: int) -> int:
    inputs = [x, build.constant(weights(1, 3, 3, 8)), build.constant(weights(8))]
    options = {"strideH": 2, "strideW": 2, "depthMultiplier": 2, "fusedActivationFunction": 3}
    return build.add("DEPTHWISE_CONV_2D", inputs, build.tensor("y", (1, 4, 3, 8)), options)


def dense(build: TfliteBuilder, x: int) -> int:
    inputs = [x, build.constant(weights(3, 168)), build.constant(weights(3))]
    return build.add("FULLY_CONNECTED", inputs, build.tensor("y", (1, 3)), {"fusedActivationFunction": 1})


def kept_dense(build: TfliteBuilder, x: int) -> int:
    inputs = [x, build.constant(weights(3, 4)), -1]
    return build.add("FULLY_CONNECTED", inputs, build.tensor("y", (1, 7, 6, 3)), {"keepNumDims": True})


def strided_slice(build: TfliteBuilder, x: int) -> int:
    places = [build.constant(numbers) for numbers in ([0, 1, 0, 2], [1, 6, 9, 3], [1, 2, 1, 1])]
    options = {"endMask": 4, "shrinkAxisMask": 8}
    return build.add("STRIDED_SLICE", [x, *places], build.tensor("y", (1, 3, 6)), options)


def concatenation(build: TfliteBuilder, x: int) -> int:
    first = conv(1, 0, (1, 7, 6, 5))(build, x)
    second = conv(1, 0, (1, 7, 6, 5))(build, x)
    return build.add("CONCATENATION", [first, second], build.tensor("z", (1, 7, 6, 10)), {"axis": -1})


def pack(build: TfliteBuilder, x: int) -> int:
    return build.add("PACK", [x, x], build.tensor("y", (1, 2, 7, 6, 4)), {"axis": 1, "valuesCount": 2})


def split(build: TfliteBuilder, x: int) -> int:
    parts = [build.tensor(f"part_{number}", (1, 7, 6, 2)) for number in range(2)]
    build.add("SPLIT", [build.constant(np.array(3, np.int32)), x], parts, {"numSplits": 2})
    return build.add("SUB", parts, build.tensor("y", (1, 7, 6, 2)))


def gather(build: TfliteBuilder, x: int) -> int:
    return build.add("GATHER", [x, build.constant([2, 0])], build.tensor("y", (1, 7, 6, 2)), {"axis": 3})


def largest(build: TfliteBuilder, x: int) -> int:
    return build.add("ARG_MAX", [x, build.constant([3])], build.tensor("y", (1, 7, 6), "int32"), {"outputType": 2})


def matrix_product(build: TfliteBuilder, x: int) -> int:
    other = build.constant(weights(1, 7, 5, 4))
    return build.add("BATCH_MATMUL", [x, other], build.tensor("y", (1, 7, 6, 5)), {"adjY": True})


def float16_weights(build: TfliteBuilder, x: int) -> int:
    half = build.constant(weights(5, 3, 2, 4).astype(np.float16))
    full = build.add("DEQUANTIZE", [half], build.tensor("full", (5, 3, 2, 4)))
    return build.add("CONV_2D", [x, full, build.constant(weights(5))], build.tensor("y", (1, 7, 6, 5)))


def computed_shape(build: TfliteBuilder, x: int) -> int:
    """Flattens to [batch, -1] in the way in which TensorFlow writes it."""
    sizes = build.add("SHAPE", [x], build.tensor("sizes", (4,), "int32"), {"outType": 2})
    places = [build.constant(numbers) for numbers in ([0], [1], [1])]
    batch = build.add("STRIDED_SLICE", [sizes, *places], build.tensor("batch", (), "int32"), {"shrinkAxisMask": 1})
    rest = build.constant(np.array(168, np.int32))
    shape = build.add("PACK", [batch, rest], build.tensor("shape", (2,), "int32"), {"axis": 0, "valuesCount": 2})
    return build.add("RESHAPE", [x, shape], build.tensor("y", (1, 168)))


def squeezed_gate(build: TfliteBuilder, x: int) -> int:
    """A picture times a number for each of its channels, as in squeeze-and-excitation."""
    picture = conv(1, 0, (1, 7, 6, 5))(build, x)
    means = build.add("MEAN", [picture, build.constant([1, 2])], build.tensor("m", (1, 1, 1, 5)), {"keepDims": True})
    gate = build.add("LOGISTIC", [means], build.tensor("gate", (1, 1, 1, 5)))
    return build.add("MUL", [picture, gate], build.tensor("z", (1, 7, 6, 5)), {"fusedActivationFunction": 1})


def biased_after_convolution(build: TfliteBuilder, x: int) -> int:
    """A number for each channel, which is not to be spread over the last axis of the turned picture."""
    picture = conv(1, 0, (1, 7, 6, 5))(build, x)
    return build.add("ADD", [picture, build.constant(weights(5))], build.tensor("z", (1, 7, 6, 5)))


def padded_after_convolution(build: TfliteBuilder, x: int) -> int:
    picture = conv(1, 0, (1, 7, 6, 5))(build, x)
    return build.add(
        "PAD", [picture, build.constant([[0, 0], [1, 2], [3, 0], [0, 1]])], build.tensor("z", (1, 10, 9, 6))
    )


def pool(name: str, stride: int, padding: int, shape: tuple[int, ...]) -> Make:
    options = {"strideH": stride, "strideW": stride, "padding": padding, "filterHeight": 3, "filterWidth": 2}
    return lambda build, x: build.add(name, [x], build.tensor("y", shape), options)


OPERATORS: dict[str, Make] = {
    "conv, same": conv(1, 0, (1, 7, 6, 5)),
    "conv, same, stride, relu6": conv(2, 0, (1, 4, 3, 5), 3),
    "conv, valid, relu": conv(2, 1, (1, 3, 3, 5), 1),
    "conv, dilated, relu to 1": conv(1, 1, (1, 3, 4, 5), 2, 2),
    "depthwise": depthwise,
    "fully connected": dense,
    "fully connected, shape kept": kept_dense,
    "average pool, same": pool("AVERAGE_POOL_2D", 2, 0, (1, 4, 3, 4)),
    "max pool, valid": pool("MAX_POOL_2D", 1, 1, (1, 5, 5, 4)),
    "mean": shaped("MEAN", [1, 2], (1, 4)),
    "mean over channels": shaped("MEAN", [-1], (1, 7, 6, 1), keepDims=True),
    "sum": shaped("SUM", [1], (1, 6, 4)),
    "reduce max": shaped("REDUCE_MAX", [1, 2], (1, 4)),
    "pad": shaped("PAD", [[0, 0], [1, 0], [2, 1], [0, 3]], (1, 8, 9, 7)),
    "mirror pad": shaped("MIRROR_PAD", [[0, 0], [1, 2], [2, 1], [0, 0]], (1, 10, 9, 4), mode=0),
    "reshape": shaped("RESHAPE", [-1, 24], (7, 24)),
    "squeeze": lambda build, x: build.add("SQUEEZE", [x], build.tensor("y", (7, 6, 4)), {"squeezeDims": [0]}),
    "expand": shaped("EXPAND_DIMS", [1], (1, 1, 7, 6, 4)),
    "transpose": shaped("TRANSPOSE", [0, 2, 3, 1], (1, 6, 4, 7)),
    "slice": lambda build, x: build.add(
        "SLICE", [x, build.constant([0, 1, 0, 1]), build.constant([1, 3, -1, 2])], build.tensor("y", (1, 3, 6, 2))
    ),
    "strided slice": strided_slice,
    "bilinear": shaped("RESIZE_BILINEAR", [14, 9], (1, 14, 9, 4)),
    "bilinear, half pixel": shaped("RESIZE_BILINEAR", [14, 9], (1, 14, 9, 4), halfPixelCenters=True),
    "bilinear, corners": shaped("RESIZE_BILINEAR", [14, 9], (1, 14, 9, 4), alignCorners=True),
    "nearest": shaped("RESIZE_NEAREST_NEIGHBOR", [14, 9], (1, 14, 9, 4)),
    "nearest, half pixel": shaped("RESIZE_NEAREST_NEIGHBOR", [3, 9], (1, 3, 9, 4), halfPixelCenters=True),
    "concatenation": concatenation,
    "pack": pack,
    "split": split,
    "gather": gather,
    "arg max": largest,
    "matrix product": matrix_product,
    "float16 weights": float16_weights,
    "computed shape": computed_shape,
    "gate": squeezed_gate,
    "bias after convolution": biased_after_convolution,
    "pad after convolution": padded_after_convolution,
    "add": with_constant("ADD", weights(4)),
    "sub": with_constant("SUB", weights(6, 1)),
    "mul": with_constant("MUL", weights(*PICTURE)),
    "div": with_constant("DIV", np.float32(3)),
    "maximum": with_constant("MAXIMUM", np.float32(0.4)),
    "minimum": with_constant("MINIMUM", np.float32(0.4)),
    "squared difference": with_constant("SQUARED_DIFFERENCE", weights(4)),
    "pow": with_constant("POW", np.float32(1.5)),
    "prelu": with_constant("PRELU", weights(1, 1, 4)),
    "softmax": unary("SOFTMAX", beta=2.0),
    "log softmax": unary("LOG_SOFTMAX"),
    "gelu": unary("GELU"),
    "gelu, near": unary("GELU", approximate=True),
    "leaky": unary("LEAKY_RELU", alpha=0.3),
    **{name.lower(): unary(name) for name in (
        "RELU", "RELU6", "RELU_N1_TO_1", "LOGISTIC", "TANH", "ELU", "HARD_SWISH", "EXP", "SQRT", "RSQRT", "ABS",
        "NEG", "SQUARE",
    )},
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_answers_as_the_interpreter_does(name: str, tmp_path: Path) -> None:
    build = TfliteBuilder()
    image = build.tensor("image", PICTURE)
    # Values on both sides of zero, and such that roots and powers have answers.
    moved = image if name in ("sqrt", "rsqrt", "pow") else build.add(
        "ADD", [image, build.constant(np.float32(-0.5))], build.tensor("moved", PICTURE)
    )  # fmt: skip
    source, result = converted(build, tmp_path, [image], [OPERATORS[name](build, moved)])
    comparison = compare_models(source, result, samples=2)
    assert comparison.max_relative_difference < 1e-5


def quantised(folder: Path, dtype: str = "int8", *, per_channel: bool = True) -> tuple[Path, Path]:
    """A small classifier of whole numbers from end to end: convolution, residual, mean, dense, softmax."""
    random, low = np.random.default_rng(0), -128 if dtype == "int8" else 0
    build = TfliteBuilder()
    image = build.tensor("image", (1, 8, 8, 3), dtype, scale=1 / 255, zero=low)
    filters = random.integers(-127, 127, (6, 3, 3, 3)).astype(np.int8)
    scales = [0.002 + 0.001 * number for number in range(6)] if per_channel else [0.004]
    kernel = build.constant(filters, scale=scales)
    bias = build.constant(random.integers(-900, 900, 6).astype(np.int32), scale=[scale / 255 for scale in scales])
    hidden = build.tensor("hidden", (1, 8, 8, 6), dtype, scale=0.02, zero=low)
    build.add("CONV_2D", [image, kernel, bias], hidden, {"fusedActivationFunction": 1})
    spread = [0.003 + 0.004 * number for number in range(6)] if per_channel else [0.01]
    each = build.constant(random.integers(-127, 127, (1, 3, 3, 6)).astype(np.int8), scale=spread, axis=3)
    none = build.constant(np.zeros(6, np.int32), scale=[0.02 * scale for scale in spread])
    deep = build.tensor("deep", (1, 8, 8, 6), dtype, scale=0.03, zero=low)
    build.add("DEPTHWISE_CONV_2D", [hidden, each, none], deep, {"fusedActivationFunction": 1})
    doubled = build.tensor("doubled", (1, 8, 8, 6), dtype, scale=0.04, zero=low)
    build.add("ADD", [hidden, deep], doubled)
    means = build.tensor("means", (1, 6), dtype, scale=0.03, zero=low)
    build.add("MEAN", [doubled, build.constant([1, 2])], means)
    matrix = build.constant(random.integers(-127, 127, (5, 6)).astype(np.int8), scale=0.01)
    logits = build.tensor("logits", (1, 5), dtype, scale=0.04, zero=low + 128)
    build.add("FULLY_CONNECTED", [means, matrix, build.constant(np.zeros(5, np.int32), scale=0.03 * 0.01)], logits)
    scores = build.tensor("scores", (1, 5), dtype, scale=1 / 256, zero=low)
    build.add("SOFTMAX", [logits], scores)
    return converted(build, folder, [image], [scores])


@pytest.mark.parametrize("per_channel", [True, False])
def test_a_quantised_model_keeps_its_types_and_comes_within_its_steps(per_channel: bool, tmp_path: Path) -> None:
    source, result = quantised(tmp_path, per_channel=per_channel)
    with open_model(result) as model:
        assert model.inputs == [("image", (1, 8, 8, 3), np.dtype(np.int8))]
        assert model.outputs == ["scores"]
    comparison = compare_models(source, result)
    assert comparison.max_abs_difference <= QUANTISED_STEPS


def test_quantised_outputs_have_their_own_order_of_axes(tmp_path: Path) -> None:
    build = TfliteBuilder()
    said = {"dtype": "int8", "scale": 1 / 255, "zero": -128}
    image = build.tensor("image", PICTURE, **said)  # type: ignore[arg-type]
    turned = build.add("RELU", [image], build.tensor("turned", PICTURE, **said))  # type: ignore[arg-type]
    kernel = build.constant(RANDOM.integers(-127, 127, (5, 1, 1, 4)).astype(np.int8), scale=0.01)
    bias = build.constant(np.zeros(5, np.int32), scale=0.01 / 255)
    result = build.tensor("y", (1, 7, 6, 5), "int8", scale=0.02)
    source, made = converted(build, tmp_path, [image], [turned, build.add("CONV_2D", [turned, kernel, bias], result)])
    assert compare_models(source, made).max_abs_difference <= 1


def test_quantised_weights_stay_whole_numbers_in_the_file(tmp_path: Path) -> None:
    import onnx

    _, result = quantised(tmp_path)
    kinds = {entry.data_type for entry in onnx.load(result).graph.initializer if len(entry.dims) > 1}
    assert kinds == {onnx.TensorProto.INT8}


def test_pictures_stay_turned_between_convolutions(tmp_path: Path) -> None:
    import onnx

    build = TfliteBuilder()
    image = build.tensor("image", PICTURE)
    _, result = converted(build, tmp_path, [image], [squeezed_gate(build, image)])
    turns = [node for node in onnx.load(result).graph.node if node.op_type == "Transpose"]
    assert len(turns) == 2


def test_an_open_batch_stays_open(tmp_path: Path) -> None:
    build = TfliteBuilder()
    image = build.tensor("image", (-1, *PICTURE[1:]))
    picture = build.add("RELU", [image], build.tensor("hidden", (-1, *PICTURE[1:])))
    shape = build.constant([-1, 168])
    flat = build.add("RESHAPE", [picture, shape], build.tensor("flat", (-1, 168)))
    source, result = converted(build, tmp_path, [image], [flat])
    pictures = RANDOM.random((3, *PICTURE[1:])).astype(np.float32)
    with open_model(source) as before, open_model(result) as after:
        assert after.inputs[0].shape == (None, *PICTURE[1:])
        assert np.array_equal(before.run({"image": pictures})["flat"], after.run({"image": pictures})["flat"])


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    build = TfliteBuilder()
    image = build.tensor("image", PICTURE)
    hidden = build.add("COS", [image], build.tensor("hidden", PICTURE))
    last = build.add("MyOwn", [hidden], build.tensor("last", PICTURE))
    source = build.save(tmp_path / "model.tflite", [image], [last])
    with pytest.raises(ModelError, match=r"model\.tflite .* not known here: COS, custom MyOwn$"):
        tflite_to_onnx(source, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_a_broken_file_is_refused_as_a_model(tmp_path: Path) -> None:
    build = TfliteBuilder()
    image = build.tensor("image", PICTURE)
    source = build.save(tmp_path / "model.tflite", [image], [conv(1, 0, (1, 7, 6, 5))(build, image)])
    content = source.read_bytes()
    refused = 0
    for number in range(40):
        place = 8 + number * (len(content) - 8) // 40
        source.write_bytes(content[:place] + b"\xff" * 4 + content[place + 4 :])
        with suppress(ModelError):
            tflite_to_onnx(source, tmp_path / "model.onnx")
            continue
        refused += 1
    assert refused > 5
