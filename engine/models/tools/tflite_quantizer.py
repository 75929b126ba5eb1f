"""Google's quantiser of TFLite models, AI Edge Quantizer, as the tools here use it."""

import contextlib
import io
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.backends.software import extra, require
from engine.errors import ModelError, first_line

#: `float16` and `int8` keep weights so, and compute in floats; `dynamic` computes in integers, with the range of the
#: values found at each run; `static` has those ranges measured beforehand.
Recipe = Literal["float16", "int8", "dynamic", "static"]


def quantized_tflite(
    content: bytes,
    recipe: Recipe,
    signature: str = "",
    samples: Iterable[Mapping[str, NDArray[np.generic]]] = (),
    name: str = "",
) -> bytes:
    """Return a TFLite model whose weights, and for two recipes whose arithmetic, are smaller.

    Inputs and outputs keep their names and types.

    Args:
        content: The model's file.
        recipe: What is made.
        signature: Of the model, for the recipe `static`.
        samples: Inputs by name, for the recipe `static`.
        name: The model's, for messages.

    Raises:
        BackendError: The quantiser is not installed.
        ModelError: It refuses the model.
    """
    quantizer = require("ai_edge_quantizer.quantizer", "for TFLite", extra("tflite"), kind="the tool")
    try:
        # It writes its own progress, and warns of what it does itself.
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            work = quantizer.Quantizer(content, _rules(recipe))
            ranges = work.calibrate({signature: samples}, num_threads=1) if recipe == "static" else None
            result = work.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
        return bytes(result.quantized_model)
    except Exception as exc:  # it raises anything on what it does not know
        raise ModelError(f"AI Edge Quantizer cannot quantise {name}: {first_line(exc)}") from exc


def _rules(recipe: Recipe) -> Any:
    from ai_edge_quantizer import algorithm_manager, qtyping, recipe_manager
    from ai_edge_quantizer import recipe as recipes

    if recipe == "int8":
        return recipes.weight_only_wi8_afp32()
    if recipe == "dynamic":
        return recipes.dynamic_wi8_afp32()
    rules = recipe_manager.RecipeManager()
    every = qtyping.TFLOperationName
    if recipe == "float16":
        weights = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
        rules.add_quantization_config(
            regex=".*",
            operation_name=every.ALL_SUPPORTED,
            op_config=qtyping.OpQuantizationConfig(
                weight_tensor_config=weights,
                compute_precision=qtyping.ComputePrecision.FLOAT,
                explicit_dequantize=True,
            ),
            algorithm_key=algorithm_manager.AlgorithmName.FLOAT_CASTING,
        )
        return rules.get_quantization_recipe()
    rules.add_static_config(regex=".*", operation_name=every.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
    for edge in (every.INPUT, every.OUTPUT):  # whoever runs the model gives and gets what he did before
        rules.add_quantization_config(
            regex=".*", operation_name=edge, algorithm_key=algorithm_manager.AlgorithmName.NO_QUANTIZE
        )
    return rules.get_quantization_recipe()
