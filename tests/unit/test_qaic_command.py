"""The compiler's command line says what the keywords say, in the vendor's own form."""

from pathlib import Path
from typing import Any

import pytest

from engine.backends.qaic.backend import QaicBackend
from engine.backends.qaic.command import (
    check_keywords,
    compile_flags,
    compiler_keywords,
    inferred_flags,
    profile_flags,
    specializations,
)
from engine.errors import OptionsError
from engine.models.files import ModelFile, ModelKind
from engine.options import SessionOptions, flag_of, session_options

ONNX = ModelFile(Path("model.onnx"), "onnx")

#: Written down from the vendor's documents, and not made by the code.
GOLDEN: list[tuple[dict[str, Any], list[str]]] = [
    ({"aic_num_cores": 4}, ["-aic-num-cores=4"]),
    ({"mos": 2}, ["-mos=2"]),
    ({"mos": "1,2"}, ["-mos=1,2"]),
    ({"ols": 2}, ["-ols=2"]),
    ({"convert_to_fp16": True}, ["-convert-to-fp16"]),
    ({"convert_to_fp16": False}, []),
    (
        {"onnx_define_symbol": {"batch_size": 8, "seq": 128}},
        ["-onnx-define-symbol=batch_size,8", "-onnx-define-symbol=seq,128"],
    ),
    ({"onnx_define_symbol": [("batch", [1, 8])]}, []),
    ({"output_dir": "/somewhere"}, []),
    ({"output_node_names": ["a", "b"]}, ["-output-node-name=a,b"]),
    (
        {"model_inputs": {"input_name": "x", "input_type": "float", "input_shape": [1, 3, 8, 8]}},
        ["-model-input=x,float,[1,3,8,8]"],
    ),
    ({"allocator_dealloc_delay": 3}, ["-allocator-dealloc-delay=3"]),
    ({"size_split_granularity": 1024}, ["-size-split-granularity=1024"]),
    ({"vtcm_working_set_limit_ratio": 0.25}, ["-vtcm-working-set-limit-ratio=0.25"]),
    ({"execute_nodes_in_fp16": ["Add", "Mul"]}, ["-execute-nodes-in-fp16=Add,Mul"]),
    ({"node_precision_info_file": "p.yaml"}, ["-node-precision-info=p.yaml"]),
    ({"keep_original_precision_for_nodes": "Add,Div"}, ["-keep-original-precision-for-nodes=Add,Div"]),
    ({"custom_io_list_file": "io.yaml"}, ["-custom-IO-list-file=io.yaml"]),
    ({"dump_custom_io_config_template_file": "t.yaml"}, ["-dump-custom-IO-config-template=t.yaml"]),
    ({"external_quantization_file": "q.yaml"}, ["-external-quantization=q.yaml"]),
    ({"quantization_schema_activations": "symmetric"}, ["-quantization-schema-activations=symmetric"]),
    ({"quantization_schema_constants": "asymmetric"}, ["-quantization-schema-constants=asymmetric"]),
    ({"quantization_calibration": None}, ["-quantization-calibration=None"]),
    ({"quantization_calibration": "KLMinimizationV2"}, ["-quantization-calibration=KLMinimizationV2"]),
    ({"percentile_calibration_value": 99.5}, ["-percentile-calibration-value=99.5"]),
    ({"num_histogram_bins": 2048}, ["-num-histogram-bins=2048"]),
    ({"quantization_precision": "Int8"}, ["-quantization-precision=Int8"]),
    ({"quantization_precision_bias": "Int8"}, ["-quantization-precision-bias=Int8"]),
    ({"enable_rowwise": True, "enable_channelwise": True}, ["-enable-rowwise", "-enable-channelwise"]),
    ({"dump_profile": "p.yaml"}, []),
    ({"load_profile": "p.yaml"}, ["-load-profile=p.yaml"]),
    ({"convert_to_quantize": True}, ["-convert-to-quantize"]),
    ({"load_embedding_tables": "e.zip"}, ["-load-embedding-tables=e.zip"]),
    ({"mdp_load_partition_config": "m.json"}, ["-mdp-load-partition-config=m.json"]),
    ({"mdp_dump_partition_config": "m.json"}, ["-mdp-dump-partition-config=m.json"]),
    ({"aic_preproc": True}, ["-aic-preproc"]),
    (
        {"aic_enable_depth_first": True, "aic_depth_first_mem": 16},
        ["-aic-enable-depth-first", "-aic-depth-first-mem=16"],
    ),
    ({"stats_batchsize": 8}, ["-stats-batchsize=8"]),
    ({"time_passes": True}, ["-time-passes"]),
    ({"sdp_cluster_sizes": [7, 7]}, ["-sdp-cluster-sizes=7,7"]),
    ({"profiling_threads": 4}, ["-profiling-threads=4"]),
    ({"use_producer_dma": True}, ["-use-producer-dma=1"]),
    ({"use_producer_dma": False}, ["-use-producer-dma=0"]),
    ({"aic_perf_warnings": True, "aic_perf_metrics": True}, ["-aic-perf-warnings", "-aic-perf-metrics"]),
    ({"aic_pmu_recipe": "KernelUtil"}, ["-aic-pmu-recipe=KernelUtil"]),
    ({"multicast_weights": True}, ["-multicast-weights"]),
    ({"ddr_stats": True}, ["-ddr-stats"]),
    ({"combine_inputs": False, "combine_outputs": True}, ["-combine-inputs=false", "-combine-outputs=true"]),
    ({"dev_id": 3, "num_activations": 2, "set_size": 4, "enable_metrics": True}, []),
]


@pytest.mark.parametrize(("keywords", "flags"), GOLDEN)
def test_a_keyword_becomes_its_flag(keywords: dict[str, Any], flags: list[str]) -> None:
    assert list(compile_flags(session_options(keywords))) == flags


def test_what_nobody_said_is_not_on_the_command_line() -> None:
    assert compile_flags(SessionOptions()) == ()
    assert compile_flags(session_options({"mos": None, "aic_num_cores": None})) == ()


def test_the_compilers_keywords_are_all_of_the_61_that_have_a_flag() -> None:
    every = {name for keywords, _ in GOLDEN for name in session_options(keywords).model_fields_set}
    unseen = {name for name in SessionOptions.model_fields if flag_of(name) is not None} - every
    inferred = {name for name in unseen if (flag := flag_of(name)) is not None and flag.is_inferred}
    assert unseen == inferred, "a flag that the documents show is missing in the golden list"


def test_a_profile_is_a_run_of_its_own() -> None:
    options = session_options({"dump_profile": "p.yaml", "onnx_define_symbol": {"batch": 2}})
    assert profile_flags(options) == ("-onnx-define-symbol=batch,2", "-dump-profile=p.yaml")


def test_a_ladder_is_a_file_whose_values_are_texts() -> None:
    options = session_options({"onnx_define_symbol": [("batch", 8), ("batch", 1), ("seq", 128)]})
    assert specializations(options) == {"specializations": [{"batch": "1", "seq": "128"}, {"batch": "8", "seq": "128"}]}
    assert specializations(session_options({"onnx_define_symbol": {"batch": 8}})) is None


def test_flags_that_nobody_has_seen_are_known_as_such() -> None:
    options = session_options({"io_crc": True, "compile_threads": 2, "ols": 1})
    assert inferred_flags(options) == ["-io-crc", "-compile-threads"]
    assert compiler_keywords(options) == ["ols", "io_crc", "compile_threads"]


@pytest.mark.parametrize(
    ("kind", "keywords", "named"),
    [
        ("tensorflow", {}, "output_node_names"),
        ("torch", {}, "model_inputs"),
        ("torch", {"model_inputs": [{"input_name": "x", "input_type": "float", "input_shape": [1]}],
                   "onnx_define_symbol": [("b", [1, 2])]}, "onnx_define_symbol"),
        ("onnx", {"onnx_define_symbol": [("b", [1, 2])], "aic_preproc": True}, "aic_preproc"),
    ],
)  # fmt: skip
def test_a_keyword_that_is_missing_or_does_not_go_is_named(
    kind: ModelKind, keywords: dict[str, Any], named: str
) -> None:
    with pytest.raises(OptionsError, match=named):
        check_keywords(ModelFile(Path("model"), kind), session_options(keywords))


def test_every_keyword_is_obeyed() -> None:
    sessions_own = {"enable_metrics", "enable_profiling"}
    assert QaicBackend.uses == set(SessionOptions.model_fields) - sessions_own
    assert not QaicBackend.refuses
