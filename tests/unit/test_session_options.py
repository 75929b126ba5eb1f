"""The 61 keywords: names, ranges, exclusions, and the flags that they become."""

from pathlib import Path
from typing import Any

import pytest

from engine.errors import OptionsError
from engine.options import Flag, Form, SessionOptions, flag_of, session_options

#: Keywords that are the session's or the run's, and nothing that a compiler knows.
NOT_THE_COMPILERS = {"dev_id", "num_activations", "set_size", "enable_metrics", "enable_profiling"}


def test_there_are_61_and_all_but_five_are_the_compilers() -> None:
    assert len(SessionOptions.model_fields) == 61
    assert {name for name in SessionOptions.model_fields if flag_of(name) is None} == NOT_THE_COMPILERS
    assert all(info.description for info in SessionOptions.model_fields.values())


@pytest.mark.parametrize(
    ("keyword", "flag"),
    [
        ("aic_num_cores", Flag("aic-num-cores")),
        ("convert_to_fp16", Flag("convert-to-fp16", Form.BARE)),
        ("output_dir", Flag("aic-binary-dir")),
        ("output_node_names", Flag("output-node-name", Form.LIST)),
        ("allocator_dealloac_delay", Flag("allocator-dealloc-delay")),
        ("node_precision_info_file", Flag("node-precision-info")),
        ("custom_io_list_file", Flag("custom-IO-list-file")),
        ("dump_custom_io_config_template_file", Flag("dump-custom-IO-config-template")),
        ("external_quantization_file", Flag("external-quantization")),
        ("use_producer_dma", Flag("use-producer-dma", Form.NUMBER)),
        ("combine_inputs", Flag("combine-inputs", Form.TRUTH)),
        ("io_crc", Flag("io-crc", Form.BARE, is_inferred=True)),
    ],
)
def test_flags_that_are_no_mere_dashes_for_underscores(keyword: str, flag: Flag) -> None:
    assert flag_of(keyword) == flag


@pytest.mark.parametrize(
    ("keyword", "given", "value"),
    [
        ("onnx_define_symbol", [("batch", 2), ("length", 7)], (("batch", 2), ("length", 7))),
        ("onnx_define_symbol", {"batch": 2}, (("batch", 2),)),
        ("onnx_define_symbol", {"batch": [1, 8]}, (("batch", 1), ("batch", 8))),
        ("onnx_define_symbol", [["batch", 2]], (("batch", 2),)),
        ("output_dir", Path("/tmp/qpc"), "/tmp/qpc"),
        ("output_node_names", ["a", "b"], ("a", "b")),
        ("execute_nodes_in_fp16", "Add,Mul", ("Add", "Mul")),
        ("mos", 3, "3"),
        ("mos", "1,7", "1,7"),
        ("allocator_dealloc_delay", 4, 4),
        ("quantization_calibration", None, "None"),
        ("vtcm_working_set_limit_ratio", 1, 1.0),
        ("sdp_cluster_sizes", [7, 7], (7, 7)),
        ("aic_pmu_events", list("abcdefgh"), tuple("abcdefgh")),
    ],
)
def test_values_in_each_form_that_is_documented(keyword: str, given: Any, value: Any) -> None:
    field = keyword.replace("dealloc_", "dealloac_")
    assert getattr(session_options({keyword: given}), field) == value


def test_one_model_input_need_not_stand_in_a_list() -> None:
    given = {"input_name": "x", "input_type": "float", "input_shape": [1, 3]}
    for form in (given, [given]):
        (found,) = session_options({"model_inputs": form}).model_inputs or ()
        assert (found.input_name, found.input_type, found.input_shape) == ("x", "float", (1, 3))


@pytest.mark.parametrize(
    ("keywords", "named"),
    [
        ({"percentile_calibration_value": 89.9}, "percentile_calibration_value"),
        ({"percentile_calibration_value": 100.1}, "percentile_calibration_value"),
        ({"vtcm_working_set_limit_ratio": 1.01}, "vtcm_working_set_limit_ratio"),
        ({"vtcm_working_set_limit_ratio": float("nan")}, "vtcm_working_set_limit_ratio"),
        ({"size_split_granularity": 511}, "size_split_granularity"),
        ({"size_split_granularity": 2049}, "size_split_granularity"),
        ({"aic_depth_first_mem": 7}, "aic_depth_first_mem"),
        ({"aic_depth_first_mem": 33}, "aic_depth_first_mem"),
        ({"allocator_dealloac_delay": 11}, "allocator_dealloac_delay"),
        ({"aic_pmu_events": list("abcdefghi")}, "aic_pmu_events"),
        ({"aic_pmu_recipe": "Axi"}, "aic_pmu_recipe"),
        ({"quantization_precision": "Int4"}, "quantization_precision"),
        ({"quantization_schema_constants": "lopsided"}, "quantization_schema_constants"),
        ({"convert_to_fp16": "yes"}, "convert_to_fp16"),
        ({"convert_to_fp16": 1}, "convert_to_fp16"),
        ({"num_activations": 0}, "num_activations"),
        ({"num_activations": True}, "num_activations"),
        ({"dev_id": -1}, "dev_id"),
        ({"mos": "1,"}, "mos"),
        ({"onnx_define_symbol": [("batch", 0)]}, "onnx_define_symbol"),
        ({"onnx_define_symbol": ["batch"]}, "onnx_define_symbol"),
        ({"onnx_define_symbol": {"batch": "8"}}, "onnx_define_symbol"),
        ({"model_inputs": {"input_name": "x"}}, "model_inputs"),
        ({"enable_metrics": True, "enable_profiling": True}, "enable_metrics and enable_profiling exclude"),
        ({"dump_profile": "a", "load_profile": "b"}, "dump_profile and load_profile exclude"),
        ({"dump_profile": "a", "convert_to_quantize": True}, "dump_profile and convert_to_quantize exclude"),
        ({"load_profile": "a", "convert_to_quantize": True}, "load_profile and convert_to_quantize exclude"),
        ({"host_preproc": True, "aic_preproc": True}, "host_preproc and aic_preproc exclude"),
        ({"sdp_cluster_sizes": [7, 6], "aic_num_cores": 14}, "sum to 13, not to aic_num_cores = 14"),
        ({"aic_num_core": 4}, "did you mean aic_num_cores"),
        ({"nonsense": 4}, "no option nonsense"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name_in_one_line(keywords: dict[str, Any], named: str) -> None:
    with pytest.raises(OptionsError, match=named) as caught:
        session_options(keywords)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["percentile_calibration_value", "vtcm_working_set_limit_ratio"])
def test_the_ends_of_a_range_belong_to_it(name: str) -> None:
    for value in {"percentile_calibration_value": (90, 100.0), "vtcm_working_set_limit_ratio": (0, 1.0)}[name]:
        assert getattr(session_options({name: value}), name) == value


def test_several_sizes_of_one_symbol_are_a_ladder_of_two_symbols_an_error() -> None:
    assert session_options({"onnx_define_symbol": {"batch": [8, 1, 4], "length": 5}}).ladder == ("batch", (1, 4, 8))
    assert session_options({"onnx_define_symbol": {"batch": 8}}).ladder is None
    with pytest.raises(OptionsError, match="only one may"):
        _ = session_options({"onnx_define_symbol": {"a": [1, 2], "b": [1, 2]}}).ladder
