"""The compiler's command line. Pure: it reads no file and starts nothing.

Source: the rule underscore to dash, `True` to a bare flag, a mapping to one flag each, stands in quic/cloud-ai-sdk
samples/python/common_utils.py and in quic/efficient-transformers QEfficient/base/modeling_qeff.py; the form of
`-model-input` in pytorch/glow tools/loader/Loader.cpp.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from engine.errors import OptionsError
from engine.models.files import ModelFile
from engine.options import Form, ModelInput, SessionOptions, flag_of

#: Keywords that name files which the compiler reads: their content makes another program.
INPUT_FILES = (
    "node_precision_info_file",
    "custom_io_list_file",
    "external_quantization_file",
    "load_profile",
    "load_embedding_tables",
    "mdp_load_partition_config",
)
#: Keywords that name files which it writes.
OUTPUT_FILES = (
    "dump_custom_io_config_template_file",
    "dump_profile",
    "dump_embedding_tables",
    "mdp_dump_partition_config",
)

_RENDERERS: Mapping[Form, Callable[[str, Any], Iterable[str]]] = {
    Form.VALUE: lambda name, value: [f"-{name}={value}"],
    Form.BARE: lambda name, value: [f"-{name}"] if value else [],
    Form.NUMBER: lambda name, value: [f"-{name}={int(value)}"],
    Form.TRUTH: lambda name, value: [f"-{name}={str(value).lower()}"],
    Form.LIST: lambda name, value: [f"-{name}={','.join(map(str, value))}"],
    Form.PAIRS: lambda name, value: [f"-{name}={symbol},{size}" for symbol, size in value],
    Form.MODEL_INPUTS: lambda name, value: [f"-{name}={_model_input(entry)}" for entry in value],
}


def compile_flags(options: SessionOptions) -> tuple[str, ...]:
    """Return the flags of the keywords that somebody gave, in the order of the vendor's list.

    Left out are `output_dir`, whose place is found when the compiler runs; `dump_profile`, which is a run of its own;
    and the sizes of symbols where they make a ladder, which is a file.
    """
    left_out = {"output_dir", "dump_profile"} | ({"onnx_define_symbol"} if options.ladder else set())
    return tuple(_flags(options, left_out))


def profile_flags(options: SessionOptions) -> tuple[str, ...]:
    """Return the flags of the run that writes a quantisation profile.

    On the command line `-dump-profile` stops when the profile is written, where the vendor's Session compiles on.
    Source: krai/ck-qaic package/model-qaic-calibrate/.cm/meta.json.
    """
    return tuple(_flags(options, {"output_dir"}))


def specializations(options: SessionOptions) -> dict[str, list[dict[str, str]]] | None:
    """Return the content of `-network-specialization-config`, an entry a batch size; None without a ladder.

    Values are texts, and each entry names every symbol. Source: the page apps_sdk_network_specialization of the SDK's
    documentation; quic/efficient-transformers QEfficient/utils/_utils.py.
    """
    ladder = options.ladder
    if ladder is None:
        return None
    symbol, sizes = ladder
    others = {name: str(size) for name, size in options.symbols.items() if name != symbol}
    return {"specializations": [{symbol: str(size), **others} for size in sizes]}


def inferred_flags(options: SessionOptions) -> list[str]:
    """Return the flags in use that no public source shows."""
    flags = (flag_of(keyword) for keyword in _given(options))
    return [f"-{flag.name}" for flag in flags if flag is not None and flag.is_inferred]


def compiler_keywords(options: SessionOptions) -> list[str]:
    """Return the keywords that somebody gave and that are the compiler's alone."""
    return [keyword for keyword in _given(options) if flag_of(keyword) is not None]


def check_keywords(model: ModelFile, options: SessionOptions) -> None:
    """Refuse a model without the keywords that its kind demands, and keywords that exclude each other.

    Raises:
        OptionsError: It names the keyword.
    """
    if model.kind == "tensorflow" and not options.output_node_names:
        raise OptionsError(f"{model.path} is a TensorFlow model: give its outputs as output_node_names")
    if model.kind == "torch" and not options.model_inputs:
        raise OptionsError(f"{model.path} is a PyTorch model: give its inputs as model_inputs")
    if options.ladder is None:
        return
    if model.kind != "onnx":
        raise OptionsError(
            f"onnx_define_symbol gives several sizes, and {model.path} is no ONNX file: it has no symbols"
        )
    if options.aic_preproc:
        raise OptionsError(
            "onnx_define_symbol gives several sizes, which aic_preproc excludes: give one size, or not it"
        )


def _given(options: SessionOptions) -> list[str]:
    return [
        keyword
        for keyword in SessionOptions.model_fields
        if keyword in options.model_fields_set and getattr(options, keyword) is not None
    ]


def _flags(options: SessionOptions, left_out: set[str]) -> Iterable[str]:
    for keyword in _given(options):
        flag = flag_of(keyword)
        if flag is not None and keyword not in left_out:
            yield from _RENDERERS[flag.form](flag.name, getattr(options, keyword))


def _model_input(entry: ModelInput) -> str:
    return f"{entry.input_name},{entry.input_type},[{','.join(map(str, entry.input_shape))}]"
