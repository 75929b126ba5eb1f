"""The options of a session: the 61 keywords of the vendor's `qaic` package, as one model.

Names, types and descriptions follow `quic/cloud-ai-sdk-pages docs/Python-API/qaic/qaic.md`; ranges and the compiler's
flags are from there, from the vendor's samples (`quic/cloud-ai-sdk`) and from its compiler's notes. A flag that no
public source shows is made by the samples' own rule, underscore to dash, and says so (`is_inferred`).
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from os import PathLike, fspath
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from engine.errors import OptionsError


class Form(Enum):
    """How a compiler flag carries its value."""

    VALUE = "-flag=value"
    BARE = "-flag"
    NUMBER = "-flag=0|1"
    TRUTH = "-flag=true|false"
    LIST = "-flag=a,b"
    PAIRS = "-flag=symbol,value, repeated"
    MODEL_INPUTS = "-flag=name,type,[shape], repeated"


@dataclass(frozen=True, slots=True)
class Flag:
    """What a keyword becomes on the compiler's command line.

    Attributes:
        name: Without its dash.
        is_inferred: Whether no public source shows it and the samples' rule made it.
    """

    name: str
    form: Form = Form.VALUE
    is_inferred: bool = False


def _listed(value: object) -> object:
    """Take any list, or one text with commas, for a tuple."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, Mapping) else value


def _pairs(value: object) -> object:
    """Take pairs or a mapping; several sizes of one symbol make several pairs."""
    pairs = value.items() if isinstance(value, Mapping) else value
    if isinstance(pairs, str) or not isinstance(pairs, Iterable):
        return value
    flat: list[tuple[object, object]] = []
    for pair in pairs:
        if isinstance(pair, str) or not isinstance(pair, Iterable):
            return value
        symbol_and_sizes = tuple(pair)
        if len(symbol_and_sizes) != 2:
            return value
        symbol, sizes = symbol_and_sizes
        flat += [(symbol, size) for size in (sizes if isinstance(sizes, list | tuple) else [sizes])]
    return tuple(flat)


def _text(value: object) -> object:
    """Take a path object for its text."""
    return fspath(value) if isinstance(value, PathLike) else value


def _inputs(value: object) -> object:
    """Take one input's dictionary for a list of one."""
    return (value,) if isinstance(value, Mapping) else _listed(value)


def _numbers_as_text(value: object) -> object:
    """Take 2 for "2": one effort level, or one for each cluster."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_listed)]
File = Annotated[str, Field(min_length=1), BeforeValidator(_text)]
Count = Annotated[int, Field(ge=1)]
#: A thread stands behind each.
Places = Annotated[int, Field(ge=1, le=1024)]
Schema = Literal["asymmetric", "symmetric", "symmetric_with_uint8", "symmetric_with_power2_scale"]


class ModelInput(BaseModel):
    """An input of a model whose file does not say what it takes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    input_name: str
    input_type: str
    input_shape: Annotated[tuple[int, ...], BeforeValidator(_listed)]


class SessionOptions(BaseModel):
    """The 61 keywords. None means that nobody said anything: the compiler's, or the back end's, own default."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        hide_input_in_errors=True,
        populate_by_name=True,
        allow_inf_nan=False,
        protected_namespaces=(),  # model_inputs is the vendor's name
    )

    dev_id: int = Field(0, ge=0, description="device on which to run")
    num_activations: Places | None = Field(None, description="instances of the network to activate")
    set_size: Places | None = Field(None, description="inferences kept in flight for each activation")
    mos: Annotated[
        Annotated[str, Field(pattern=r"^\d+(,\d+)*$")] | None, BeforeValidator(_numbers_as_text), Flag("mos")
    ] = Field(None, description="effort level to reduce on-chip memory; one number, or one for each cluster")
    ols: Annotated[Count | None, Flag("ols")] = Field(
        None, description="factor to increase splitting of the network for parallelism"
    )
    aic_num_cores: Annotated[Count | None, Flag("aic-num-cores")] = Field(
        None, description="AI cores of one activation"
    )
    convert_to_fp16: Annotated[bool | None, Flag("convert-to-fp16", Form.BARE)] = Field(
        None, description="run all floating point in fp16"
    )
    onnx_define_symbol: Annotated[
        tuple[tuple[str, Count], ...] | None, BeforeValidator(_pairs), Flag("onnx-define-symbol", Form.PAIRS)
    ] = Field(None, description="sizes of the model's symbols, as pairs or a mapping; several sizes make a ladder")
    output_dir: Annotated[File | None, Flag("aic-binary-dir")] = Field(
        None, description="directory for the compiled binaries"
    )
    output_node_names: Annotated[Texts | None, Flag("output-node-name", Form.LIST)] = Field(
        None, description="outputs in the file's order; a TensorFlow model needs it"
    )
    model_inputs: Annotated[
        tuple[ModelInput, ...] | None, BeforeValidator(_inputs), Flag("model-input", Form.MODEL_INPUTS)
    ] = Field(None, description="input_name, input_type and input_shape of each input; a PyTorch model needs it")
    allocator_dealloac_delay: Annotated[int | None, Flag("allocator-dealloc-delay")] = Field(
        None,
        ge=0,
        le=10,
        validation_alias=AliasChoices("allocator_dealloac_delay", "allocator_dealloc_delay"),
        description="longer life of buffers, for fewer false dependencies",
    )
    size_split_granularity: Annotated[int | None, Flag("size-split-granularity")] = Field(
        None, ge=512, le=2048, description="largest tile in KiB"
    )
    vtcm_working_set_limit_ratio: Annotated[float | None, Flag("vtcm-working-set-limit-ratio")] = Field(
        None, ge=0, le=1, description="share of fast memory that one instruction may use"
    )
    execute_nodes_in_fp16: Annotated[Texts | None, Flag("execute-nodes-in-fp16", Form.LIST)] = Field(
        None, description="operators whose every instance runs in fp16"
    )
    node_precision_info_file: Annotated[File | None, Flag("node-precision-info")] = Field(
        None, description="file with the outputs of operators to run in fp16 or fp32"
    )
    keep_original_precision_for_nodes: Annotated[Texts | None, Flag("keep-original-precision-for-nodes", Form.LIST)] = (
        Field(None, description="operators that quantisation leaves alone")
    )
    custom_io_list_file: Annotated[File | None, Flag("custom-IO-list-file")] = Field(
        None, description="YAML with layout, precision, scale and offset of inputs and outputs"
    )
    dump_custom_io_config_template_file: Annotated[File | None, Flag("dump-custom-IO-config-template")] = Field(
        None, description="file to write a template of that YAML to"
    )
    external_quantization_file: Annotated[File | None, Flag("external-quantization")] = Field(
        None, description="quantisation profile made elsewhere"
    )
    quantization_schema_activations: Annotated[Schema, Flag("quantization-schema-activations")] = Field(
        "symmetric_with_uint8", description="quantisation schema of activations"
    )
    quantization_schema_constants: Annotated[Schema, Flag("quantization-schema-constants")] = Field(
        "symmetric_with_uint8", description="quantisation schema of constants"
    )
    quantization_calibration: Annotated[
        Literal["None", "KLMinimization", "KLMinimizationV2", "Percentile", "MSE", "SQNR"],
        BeforeValidator(lambda value: "None" if value is None else value),
        Flag("quantization-calibration"),
    ] = Field("None", description="calibration; None is min-max")
    percentile_calibration_value: Annotated[float, Flag("percentile-calibration-value")] = Field(
        100.0, ge=90, le=100, description="percentile of the calibration Percentile"
    )
    num_histogram_bins: Annotated[Count, Flag("num-histogram-bins")] = Field(
        512, description="bins in the profile of each node"
    )
    quantization_precision: Annotated[Literal["Int8"], Flag("quantization-precision")] = Field(
        "Int8", description="precision of quantised values"
    )
    quantization_precision_bias: Annotated[Literal["Int8", "Int32"], Flag("quantization-precision-bias")] = Field(
        "Int32", description="precision of biases"
    )
    enable_rowwise: Annotated[bool | None, Flag("enable-rowwise", Form.BARE)] = Field(
        None, description="row-wise quantisation of FullyConnected and SparseLengthsSum"
    )
    enable_channelwise: Annotated[bool | None, Flag("enable-channelwise", Form.BARE)] = Field(
        None, description="channel-wise quantisation of Convolution"
    )
    dump_profile: Annotated[File | None, Flag("dump-profile")] = Field(
        None, description="write the quantisation profile to this file, then compile"
    )
    load_profile: Annotated[File | None, Flag("load-profile")] = Field(
        None, description="quantise by a profile that dump_profile wrote"
    )
    convert_to_quantize: Annotated[bool, Flag("convert-to-quantize", Form.BARE)] = Field(
        default=False, description="profile the input data and run quantised"
    )
    load_embedding_tables: Annotated[File | None, Flag("load-embedding-tables", is_inferred=True)] = Field(
        None, description="zip file with embedding tables, for DLRM and RecSys"
    )
    dump_embedding_tables: Annotated[File | None, Flag("dump-embedding-tables", is_inferred=True)] = Field(
        None, description="zip file to extract a PyTorch model's embedding tables to"
    )
    mdp_load_partition_config: Annotated[File | None, Flag("mdp-load-partition-config")] = Field(
        None, description="how the graph is partitioned across devices"
    )
    mdp_dump_partition_config: Annotated[File | None, Flag("mdp-dump-partition-config")] = Field(
        None, description="file to write that partitioning to"
    )
    host_preproc: Annotated[bool | None, Flag("host-preproc", Form.BARE, is_inferred=True)] = Field(
        None, description="all pre- and post-processing on the host"
    )
    aic_preproc: Annotated[bool | None, Flag("aic-preproc", Form.BARE)] = Field(
        None, description="no pre- and post-processing on the host; not with host_preproc"
    )
    aic_enable_depth_first: Annotated[bool | None, Flag("aic-enable-depth-first", Form.BARE)] = Field(
        None, description="depth-first scheduling with the default memory"
    )
    aic_depth_first_mem: Annotated[int | None, Flag("aic-depth-first-mem")] = Field(
        None, ge=8, le=32, description="memory of depth-first scheduling"
    )
    stats_batchsize: Annotated[Count | None, Flag("stats-batchsize")] = Field(
        None, description="normalise performance statistics to one inference"
    )
    always_expand_onnx_functions: Annotated[
        bool | None, Flag("always-expand-onnx-functions", Form.BARE, is_inferred=True)
    ] = Field(None, description="expand ONNX functions")
    enable_debug: Annotated[bool | None, Flag("enable-debug", Form.BARE, is_inferred=True)] = Field(
        None, description="debug mode of the compilation"
    )
    time_passes: Annotated[bool | None, Flag("time-passes", Form.BARE)] = Field(
        None, description="print compile-time statistics"
    )
    io_crc: Annotated[bool | None, Flag("io-crc", Form.BARE, is_inferred=True)] = Field(
        None, description="check inputs and outputs by CRC"
    )
    io_crc_stride: Annotated[Count | None, Flag("io-crc-stride", is_inferred=True)] = Field(
        None, description="stride of that CRC"
    )
    sdp_cluster_sizes: Annotated[
        Annotated[tuple[Count, ...], Field(min_length=1, max_length=4)] | None,
        BeforeValidator(_listed),
        Flag("sdp-cluster-sizes", Form.LIST),
    ] = Field(None, description="clusters of single device partitioning: they sum to the cores")
    profiling_threads: Annotated[Count | None, Flag("profiling-threads")] = Field(
        None, description="threads that make the quantisation profile"
    )
    compile_threads: Annotated[Count | None, Flag("compile-threads", is_inferred=True)] = Field(
        None, description="threads that compile"
    )
    use_producer_dma: Annotated[bool | None, Flag("use-producer-dma", Form.NUMBER)] = Field(
        None, description="start DMA from the thread that makes the data"
    )
    aic_perf_warnings: Annotated[bool | None, Flag("aic-perf-warnings", Form.BARE)] = Field(
        None, description="print performance warnings"
    )
    aic_perf_metrics: Annotated[bool | None, Flag("aic-perf-metrics", Form.BARE)] = Field(
        None, description="print the compiler's performance metrics"
    )
    aic_pmu_recipe: Annotated[
        Literal["AxiRd", "AxiWr", "AxiRdWr", "KernelUtil", "HmxMacs"] | None, Flag("aic-pmu-recipe")
    ] = Field(None, description="built-in selection of PMU events")
    aic_pmu_events: Annotated[
        Annotated[tuple[str, ...], Field(min_length=1, max_length=8)] | None,
        BeforeValidator(_listed),
        Flag("aic-pmu-events", Form.LIST, is_inferred=True),
    ] = Field(None, description="up to 8 events to track in the cores")
    dynamic_shape_input: Annotated[Texts | None, Flag("dynamic-shape-input", Form.LIST, is_inferred=True)] = Field(
        None, description="inputs of dynamic shape"
    )
    multicast_weights: Annotated[bool | None, Flag("multicast-weights", Form.BARE)] = Field(
        None, description="load weights that several cores use only once"
    )
    ddr_stats: Annotated[bool | None, Flag("ddr-stats", Form.BARE)] = Field(
        None, description="collect DDR traffic per core"
    )
    combine_inputs: Annotated[bool | None, Flag("combine-inputs", Form.TRUTH)] = Field(
        None, description="combine inputs into fewer buffers"
    )
    combine_outputs: Annotated[bool | None, Flag("combine-outputs", Form.TRUTH)] = Field(
        None, description="combine outputs into one buffer"
    )
    enable_metrics: bool = Field(default=False, description="measure the latency of every run")
    enable_profiling: bool = Field(default=False, description="profile every run; metrics come with it")

    @model_validator(mode="after")
    def _exclusions(self) -> Self:
        if self.enable_metrics and self.enable_profiling:
            raise ValueError("enable_metrics and enable_profiling exclude each other: profiling gives metrics too")
        profiles = [name for name in ("dump_profile", "load_profile", "convert_to_quantize") if getattr(self, name)]
        if len(profiles) > 1:
            raise ValueError(f"{' and '.join(profiles)} exclude each other: give one")
        if self.host_preproc and self.aic_preproc:
            raise ValueError("host_preproc and aic_preproc exclude each other: give one")
        clusters, cores = self.sdp_cluster_sizes, self.aic_num_cores
        if clusters and cores and sum(clusters) != cores:
            raise ValueError(f"sdp_cluster_sizes sum to {sum(clusters)}, not to aic_num_cores = {cores}")
        return self

    @property
    def symbols(self) -> dict[str, int]:
        """The size of each symbol; of several, the last."""
        return dict(self.onnx_define_symbol or ())

    @property
    def ladder(self) -> tuple[str, tuple[int, ...]] | None:
        """The one symbol that was given several sizes, and these, ascending; None where there is none.

        Raises:
            OptionsError: Several symbols have several sizes.
        """
        sizes: dict[str, set[int]] = {}
        for symbol, size in self.onnx_define_symbol or ():
            sizes.setdefault(symbol, set()).add(size)
        several = {symbol: tuple(sorted(of_symbol)) for symbol, of_symbol in sizes.items() if len(of_symbol) > 1}
        if len(several) > 1:
            raise OptionsError(f"onnx_define_symbol gives several sizes to {' and '.join(several)}: only one may have")
        return next(iter(several.items()), None)


#: The keywords that `update_backend_options` accepts, as it spells them, and the fields that they set.
#: Source: quic/cloud-ai-sdk-pages docs/Python-API/qaic/qaic.md, which writes num_activation in one place.
UPDATABLE = {
    "dev_id": "dev_id",
    "num_activations": "num_activations",
    "num_activation": "num_activations",
    "set_size": "set_size",
}


def session_options(keywords: Mapping[str, Any], origin: str = "Session") -> SessionOptions:
    """Make options of keywords.

    Args:
        keywords: Names and values.
        origin: Who gave them, for the message.

    Raises:
        OptionsError: One line with the name, what is wrong, and for an unknown name the nearest.
    """
    known = {*SessionOptions.model_fields, "allocator_dealloc_delay"}
    for name in keywords:
        if name not in known:
            raise OptionsError(f"{origin} has no option {name}{nearest(name, known)}")
    return parse(SessionOptions, keywords, origin)


#: Of a wrong value.
_MAX_SHOWN_CHARS = 60
Parsed = TypeVar("Parsed", bound=BaseModel)


def parse(kind: type[Parsed], values: Mapping[str, Any], origin: str) -> Parsed:
    """Make a model of values.

    Raises:
        OptionsError: One line with the first name and what is wrong.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"] if isinstance(part, str | int))
        message = first["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
        if first["type"] != "value_error":
            message = f"{message}, not {str(first['input'])[:_MAX_SHOWN_CHARS]!r}"
        raise OptionsError(f"{origin}: {where}: {message}" if where else f"{origin}: {message}") from exc


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint at the name that was probably meant, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f": did you mean {close[0]}?" if close else ""


def flag_of(keyword: str) -> Flag | None:
    """Return what a keyword becomes on the compiler's command line; None where it is not the compiler's."""
    return next((item for item in SessionOptions.model_fields[keyword].metadata if isinstance(item, Flag)), None)
