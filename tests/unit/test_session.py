"""`Session`: the vendor's interface, on ONNX Runtime."""

import logging
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from engine.errors import (
    BackendError,
    CompileError,
    DeviceLostError,
    InferenceError,
    ModelError,
    ModelNotFoundError,
    OptionsError,
)
from engine.session import Session
from tests.fakes.onnx_models import TinyClassifier, save, save_two_inputs, save_unsupported_operator

ROOT = Path(__file__).parents[2]
RANDOM = np.random.default_rng(3)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return TinyClassifier(layout="NCHW", batch="batch").save(tmp_path / "model.onnx")


def session_on(path: Path, **keywords: Any) -> Session:
    return Session(str(path), **{"backend": "onnxruntime", **keywords})


def pictures(count: int) -> NDArray[np.float32]:
    return RANDOM.random((count, 3, 32, 32), np.float32)


# A script written for the vendor's package.


def test_a_script_for_the_vendors_package_runs_with_another_import(model: Path, tmp_path: Path) -> None:
    yaml = tmp_path / "config.yaml"
    yaml.write_text("aic_num_cores: 4\nnum_activations: 1\nconvert_to_fp16: true\nonnx_define_symbol:\n  batch: 2\n")
    script = (
        "import numpy as np\n"
        "import streamer as qaic\n"
        f"sess = qaic.Session({str(model)!r}, options_path={str(yaml)!r}, enable_metrics=True)\n"
        "shape, dtype = sess.model_input_shape_dict['image']\n"
        "assert shape == (2, 3, 32, 32) and sess.model_input_shape_dict()['image'] == (shape, dtype)\n"
        "x = np.random.randn(*shape).astype(dtype)\n"
        "for _ in range(5): out = sess.run({'image': x})\n"
        "assert out['answer'].shape == (2, 4) == sess.model_output_shape_dict['answer'][0]\n"
        "sess.print_metrics()\n"
        "completed, rate, time, batch_size = sess.run_benchmark(num_inferences=7, input_dict={'image': x})\n"
        "assert (completed, batch_size) == (7, 2)\n"
        "sess.reset()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.startswith("Number of inferences utilized for calculation are 5\n")
    assert "back end onnxruntime on the CPU" in done.stderr  # which one it is, since nobody said


# Shapes.


def test_shapes_are_resolved_and_answer_as_mapping_and_as_method(model: Path) -> None:
    with session_on(model, onnx_define_symbol={"batch": 8}) as session:
        assert session.model_input_shape_dict() == {"image": ((8, 3, 32, 32), np.dtype(np.float32))}
        assert session.model_input_shape_dict["image"][0] == (8, 3, 32, 32)
        assert session.model_output_shape_dict() == {"answer": ((8, 4), np.dtype(np.float32))}
    with session_on(model) as session:
        assert session.model_input_shape_dict["image"][0] == (1, 3, 32, 32)
        assert session.model_output_shape_dict["answer"][0] == (1, 4)


def test_an_output_of_which_the_file_says_nothing_is_found_by_running(tmp_path: Path) -> None:
    path = TinyClassifier(is_silent=True, batch=2).save(tmp_path / "model.onnx")
    with session_on(path) as session:
        assert session.model_output_shape_dict["answer"] == ((2, 4), np.dtype(np.float32))


def test_an_open_axis_that_is_not_the_batch_has_to_be_given(tmp_path: Path) -> None:
    path = TinyClassifier(height="height", width="width").save(tmp_path / "model.onnx")
    with session_on(path) as session, pytest.raises(OptionsError, match=r"axis 2 of input image.*'height': SIZE"):
        _ = session.model_input_shape_dict
    with session_on(path, onnx_define_symbol=[("height", 20), ("width", 24)]) as session:
        assert session.model_input_shape_dict["image"][0] == (1, 3, 20, 24)


# Running.


def test_answers_are_the_models(tmp_path: Path) -> None:
    tiny = TinyClassifier(end="softmax")
    images = pictures(3)
    with session_on(tiny.save(tmp_path / "model.onnx")) as session:
        np.testing.assert_allclose(session.run({"image": images})["answer"], tiny.probabilities(images), atol=1e-5)


def test_a_fixed_batch_takes_fewer_rows_and_a_ladder_the_smallest_that_fits(tmp_path: Path) -> None:
    tiny = TinyClassifier(end="softmax", batch=4)
    images = pictures(3)
    with session_on(tiny.save(tmp_path / "fixed.onnx")) as session:
        answer = session.run({"image": images})["answer"]
        np.testing.assert_allclose(answer, tiny.probabilities(images), atol=1e-5)
        with pytest.raises(InferenceError, match=r"image takes float32\[4, 3, 32, 32\], not float32\[5, 3, 32, 32\]"):
            session.run({"image": pictures(5)})
    open_batch = TinyClassifier(end="softmax", batch="batch").save(tmp_path / "open.onnx")
    with session_on(open_batch, onnx_define_symbol={"batch": [1, 4]}) as session:
        assert session.model_input_shape_dict["image"][0] == (4, 3, 32, 32)
        for count in (1, 2, 4):
            assert session.run({"image": images[:count]})["answer"].shape == (min(count, 3), 4)


@pytest.mark.parametrize(
    ("inputs", "named"),
    [
        ({"picture": pictures(1)}, "takes image, not picture"),
        ({}, "takes image, not nothing"),
        ({"image": pictures(1).astype(np.float64)}, r"float32\[batch, 3, 32, 32\], not float64"),
        ({"image": pictures(1)[:, :2]}, r"not float32\[1, 2, 32, 32\]"),
        ({"image": pictures(1)[0]}, r"not float32\[3, 32, 32\]"),
    ],
)
def test_inputs_that_do_not_fit_are_told_what_does(model: Path, inputs: dict[str, Any], named: str) -> None:
    with session_on(model) as session, pytest.raises(InferenceError, match=named):
        session.run(inputs)


def test_inputs_without_a_batch_are_nothing_special(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["a", "b"], ["c"])]
    infos = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("a", [2, 3]), ("b", [3, 5]), ("c", [2, 5]))
    ]
    path = save(tmp_path / "product.onnx", nodes, infos[:2], infos[2:])
    left, right = RANDOM.random((2, 3), np.float32), RANDOM.random((3, 5), np.float32)
    with session_on(path) as session:
        np.testing.assert_allclose(session.run({"a": left, "b": right})["c"], left @ right, rtol=1e-5)


# Life.


def test_the_network_is_loaded_when_it_is_needed_and_again_after_a_reset(model: Path) -> None:
    session = session_on(model)
    assert not session.health().is_ready
    session.setup()
    session.setup()
    assert session.health().is_ready
    session.reset()
    session.reset()
    assert not session.health().is_ready
    assert session.run({"image": pictures(1)})["answer"].shape == (1, 4)
    assert session.health().is_ready
    session.reset()


def test_options_that_may_change_change_and_take_hold_with_the_next_run(model: Path) -> None:
    with session_on(model) as session:
        assert session.backend_options() == {"dev_id": 0, "num_activations": 1, "set_size": 1}
        session.setup()
        session.update_backend_options(num_activation=2, set_size=3)
        assert session.backend_options() == {"dev_id": 0, "num_activations": 2, "set_size": 3}
        assert not session.health().is_ready
        session.run({"image": pictures(1)})
        for wrong, named in (({"num_activations": 0}, "num_activations"), ({"ols": 2}, "dev_id, num_activations")):
            with pytest.raises(OptionsError, match=named):
                session.update_backend_options(**wrong)
        assert session.backend_options()["num_activations"] == 2


def test_several_threads_may_run(model: Path) -> None:
    images = pictures(1)
    with session_on(model, num_activations=2) as session:
        wanted = session.run({"image": images})["answer"]
        wrong: list[object] = []

        def run() -> None:
            answers = (session.run({"image": images})["answer"] for _ in range(50))
            wrong.extend(answer for answer in answers if not np.array_equal(answer, wanted))

        threads = [Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not wrong


# Measuring.


def test_metrics_have_the_documented_names_and_eleven_lines(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with session_on(model, enable_metrics=True) as session:
        assert session.get_metrics()["num_of_inferences"] == 0
        for _ in range(20):
            session.run({"image": pictures(1)})
        metrics = session.get_metrics()
        assert list(metrics) == [
            "num_of_inferences", "min_latency", "max_latency", "P25", "P50", "P75", "P90", "P99", "P999",
            "total_inference_time", "avg_latency",
        ]  # fmt: skip
        ordered = [metrics[name] for name in ("min_latency", "P25", "P50", "P75", "P90", "P99", "P999", "max_latency")]
        assert ordered == sorted(ordered)
        assert metrics["avg_latency"] == pytest.approx(metrics["total_inference_time"] / 20)
        session.print_metrics()
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "Number of inferences utilized for calculation are 20",
        f"Minimum latency observed {metrics['min_latency']} s",
        f"Maximum latency observed {metrics['max_latency']} s",
        f"Average latency / inference time observed is {metrics['avg_latency']} s",
        *(
            f"{name} / {name[1:]}% of inferences observed latency less than {metrics[name]} s"
            for name in ("P25", "P50", "P75", "P90", "P99")
        ),
        f"Sum of all the inference times {metrics['total_inference_time']} s",
        f"Average latency / inference time observed is {metrics['avg_latency']} s",
    ]


def test_a_profile_is_printed_as_a_table_and_metrics_come_with_it(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with session_on(model, enable_profiling=True) as session:
        for _ in range(3):
            session.run({"image": pictures(1)})
        assert session.get_metrics()["num_of_inferences"] == 3
        assert len(session.profiling_results) == 3
        session.print_profile_data(2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "|  File-Line-Function  | |  num calls  | |  func time  | |  tot time  |"
    assert sum("onnxruntime_pybind11_state.run>" in line for line in lines) == 2  # what the device did is in it


def test_nothing_measured_is_a_clear_error(model: Path) -> None:
    with session_on(model) as session:
        for ask in (session.get_metrics, session.print_metrics):
            with pytest.raises(OptionsError, match="enable_metrics=True"):
                ask()
        with pytest.raises(OptionsError, match="enable_profiling=True"):
            session.print_profile_data(1)


def test_a_benchmark_counts_batches(model: Path) -> None:
    with session_on(model, onnx_define_symbol={"batch": 4}, num_activations=2) as session:
        result = session.run_benchmark()
        completed, rate, seconds, batch_size = result
        assert (completed, batch_size) == (40, 4)
        assert rate == pytest.approx(40 / seconds)
        assert result.images_per_s == pytest.approx(4 * rate)
        assert result.latencies_s.count == 40
        assert 0 < result.latency_ms(0.5) <= result.latency_ms(0.95) <= 1e3 * seconds
        assert session.run_benchmark(num_inferences=3, input_dict={"image": pictures(2)}).batch_size == 4
        assert session.run_benchmark(inf_time=0.01).inf_completed > 0
        with pytest.raises(OptionsError, match="exclude each other"):
            session.run_benchmark(num_inferences=3, inf_time=1)
        for wrong in ({"num_inferences": 0}, {"inf_time": 0}, {"inf_time": float("nan")}):
            with pytest.raises(OptionsError, match="above 0"):
                session.run_benchmark(**wrong)


# What is refused.


@pytest.mark.parametrize(
    ("keywords", "named"),
    [
        ({"num_activation": 2}, "did you mean num_activations"),
        ({"row": "resnet50"}, "back end onnxruntime has no option row"),
        ({"data_path_timeout": 0}, "data_path_timeout"),
        ({"data_path_timeout": "60"}, "data_path_timeout"),
        ({"data_path_timeout": 1e10}, "data_path_timeout"),
        ({"num_activations": 10**30}, "num_activations"),
        ({"device": 3}, "device: .* not '3'"),
        ({"compile": "no"}, "compile: .* not 'no'"),
        ({"inference_threads": 0}, "inference_threads"),
        ({"onnx_define_symbol": {"batch": [1, 2], "x": [1, 2]}}, "x, which is no symbol of"),
        ({"onnx_define_symbol": {"bach": 2}}, "did you mean batch"),
    ],
)
def test_keywords_that_cannot_be_meant(model: Path, keywords: dict[str, Any], named: str) -> None:
    with pytest.raises(OptionsError, match=named):
        session_on(model, **keywords).setup()


def test_the_files_keywords_give_way_to_those_of_the_call(model: Path, tmp_path: Path) -> None:
    yaml = tmp_path / "options.yaml"
    yaml.write_text("num_activations: 3\nset_size: 2\nbackend: onnxruntime\ninference_threads: 1\n")
    with Session(model, options_path=yaml, num_activations=1) as session:
        assert session.backend_options() == {"dev_id": 0, "num_activations": 1, "set_size": 2}
    yaml.write_text("# two\nset_size: two\n")
    with pytest.raises(OptionsError, match=r"options\.yaml, line 2: set_size: .* integer, not 'two'"):
        session_on(model, options_path=yaml)
    yaml.write_text("set_size: 2\nrow: x\n")
    with pytest.raises(OptionsError, match=r"options\.yaml, line 2: there is no option row"):
        session_on(model, options_path=yaml)


def test_what_is_ignored_is_said_once(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        session_on(model, aic_num_cores=4, convert_to_fp16=True, num_activations=1)
    assert [record.getMessage() for record in caplog.records] == [
        "back end onnxruntime ignores aic_num_cores, convert_to_fp16"
    ]


@pytest.mark.parametrize(("name", "hint"), [("model.pb", "tf2onnx"), ("model.pt", "streamer convert")])
def test_other_kinds_of_models_are_told_how_to_convert(tmp_path: Path, name: str, hint: str) -> None:
    (tmp_path / name).write_bytes(b"something")
    with pytest.raises(ModelError, match=hint):
        session_on(tmp_path / name)


def test_a_compiled_program_runs_on_its_own_back_end_alone(tmp_path: Path) -> None:
    (tmp_path / "programqpc.bin").write_bytes(b"compiled")
    with pytest.raises(ModelError, match="runs on back end qaic alone"):
        session_on(tmp_path / "programqpc.bin")


def test_no_model_and_no_such_back_end(model: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="needs a model"):
        Session(backend="onnxruntime")
    with pytest.raises(BackendError, match="did you mean openvino"):
        Session(model, backend="openvin")


@pytest.mark.parametrize("keep", [0.5, 0.01])
def test_a_cut_model_is_named(model: Path, keep: float) -> None:
    content = model.read_bytes()
    model.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(ModelError, match=r"model\.onnx") as caught:
        session_on(model).setup()
    assert "\n" not in str(caught.value)


def test_what_onnxruntime_made_of_a_model_is_kept_and_runs(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "compiled"
    inputs = {"image": pictures(3)}
    with session_on(model) as session:
        wanted = session.run(inputs)["answer"]
    with session_on(model, output_dir=str(folder), onnx_define_symbol={"batch": 3}) as session:
        assert [path.name for path in folder.iterdir()] == ["model.optimised.onnx"]
        assert "model.optimised.onnx" in repr(session)
        np.testing.assert_allclose(session.run(inputs)["answer"], wanted, rtol=1e-6)
    nodes = [len(onnx.load(path).graph.node) for path in (model, folder / "model.optimised.onnx")]
    assert nodes[1] < nodes[0]
    with session_on(folder / "model.optimised.onnx", onnx_define_symbol={"batch": 2}, compile=False) as session:
        assert session.model_input_shape_dict["image"][0][0] == 2  # its symbols are still open
    (tmp_path / "file").write_text("")
    with pytest.raises(CompileError, match="cannot be optimised into"):
        session_on(model, output_dir=str(tmp_path / "file"))


def test_an_unsupported_operator_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="Unheard"):
        session_on(save_unsupported_operator(tmp_path / "model.onnx")).setup()


def test_external_weights_outside_the_folder_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    proto = onnx.load(TinyClassifier().save(tmp_path / "plain.onnx"))
    onnx.save(proto, folder / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=64)
    session_on(folder / "model.onnx").setup()
    (folder / "weights.bin").rename(tmp_path / "weights.bin")
    (folder / "weights.bin").symlink_to(tmp_path / "weights.bin")
    with pytest.raises(ModelError, match="reached by a link"):
        session_on(folder / "model.onnx")


def test_two_inputs_of_different_rows_are_refused(tmp_path: Path) -> None:
    with session_on(save_two_inputs(tmp_path / "model.onnx"), onnx_define_symbol={"batch": [1, 2]}) as session:
        with pytest.raises(InferenceError, match="other takes"):
            session.run({"image": pictures(1), "other": pictures(2)})
        assert session.run({"image": pictures(1), "other": pictures(1)})["answer"].shape == (1, 3)


def test_a_device_that_hangs_is_given_up_and_the_session_goes_on(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.backends.onnxruntime import OnnxRuntimeBackend, OnnxRuntimeNetwork

    let_go, is_hung = Event(), Event()
    infer = OnnxRuntimeNetwork.infer

    def hanging(self: OnnxRuntimeNetwork, *arguments: Any) -> Any:
        if not is_hung.is_set():
            is_hung.set()
            let_go.wait(30)
        return infer(self, *arguments)

    monkeypatch.setattr(OnnxRuntimeNetwork, "infer", hanging)
    monkeypatch.setattr(OnnxRuntimeBackend, "probe_after_s", 0.01)
    with session_on(model, data_path_timeout=0.5) as session:
        with pytest.raises(DeviceLostError, match="data_path_timeout"):
            session.run({"image": pictures(1)})
        from tests.fakes.waiting import wait_until

        wait_until(lambda: session.health().is_ready, "the device to be back")
        assert session.run({"image": pictures(1)})["answer"].shape == (1, 4)
    let_go.set()


# What people meet.


@pytest.mark.parametrize("body", ["s.run_benchmark(inf_time=60)", "while True: s.run({'image': x})"])
def test_an_interrupted_script_that_closes_nothing_ends_quietly(model: Path, body: str) -> None:
    script = (
        "import numpy as np, os, signal, threading\n"
        "from streamer import Session\n"
        f"s = Session({str(model)!r}, backend='onnxruntime', num_activations=2)\n"
        "x = np.zeros((1, 3, 32, 32), np.float32)\n"
        "s.run({'image': x})\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
        f"try:\n    {body}\n"
        "except KeyboardInterrupt: print('bye')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "bye\n", "")


def test_loading_is_no_latency_of_a_run(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.backends.onnxruntime import OnnxRuntimeBackend

    load, loading = OnnxRuntimeBackend.load, Event()

    def slow(self: OnnxRuntimeBackend, *arguments: Any) -> Any:
        loading.wait(1.5)
        return load(self, *arguments)

    monkeypatch.setattr(OnnxRuntimeBackend, "load", slow)
    with session_on(model, enable_metrics=True) as session:
        session.run({"image": pictures(1)})
        assert session.get_metrics()["max_latency"] < 1.5


def test_inputs_that_share_a_symbol_have_to_agree(tmp_path: Path) -> None:
    with (
        session_on(save_two_inputs(tmp_path / "model.onnx")) as session,
        pytest.raises(InferenceError, match="inputs image and other disagree about batch: they have 1 and 2 of it"),
    ):
        session.run({"image": pictures(1), "other": pictures(2)})


@pytest.mark.parametrize(
    ("inputs", "named"),
    [
        ({"image": [[1.0]]}, "input image is a list, not a numpy array"),
        (pictures(1), "mapping of name"),
        ([], "mapping"),
    ],
)
def test_what_is_no_mapping_of_arrays_is_told_so(model: Path, inputs: Any, named: str) -> None:
    with session_on(model) as session, pytest.raises(InferenceError, match=named):
        session.run(inputs)


def test_the_vendors_sample_gives_the_number_as_text(model: Path) -> None:
    with session_on(model) as session:
        assert session.run_benchmark(num_inferences="20").inf_completed == 20
        with pytest.raises(OptionsError, match="'many'"):
            session.run_benchmark(num_inferences="many")


def test_another_card_is_no_matter_of_an_option_where_the_device_was_named(model: Path) -> None:
    with session_on(model, device="cpu") as session, pytest.raises(OptionsError, match="beside device='cpu'"):
        session.update_backend_options(dev_id=3)


def test_a_keyword_of_another_back_end_is_told_whose_it_is(model: Path) -> None:
    with pytest.raises(OptionsError, match="has no option compute: it is one of back end simulator"):
        session_on(model, compute="none")


def test_a_session_says_what_it_is(model: Path) -> None:
    with session_on(model) as session:
        session.setup()
        assert repr(session).startswith(f"Session('{model}', backend='onnxruntime'): onnxruntime ")


def test_beside_other_inferences_a_cpu_works_on_two_unless_somebody_says_otherwise(model: Path, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("num_activations: 1\n")

    def slots(**keywords: Any) -> int:
        with session_on(model, **keywords) as session:
            return session.slots

    assert (slots(), slots(company="inferences"), slots(company="decoding")) == (1, 2, 2)
    assert slots(company="inferences", num_activations=3) == 3
    assert slots(company="inferences", options_path=tmp_path / "one.yaml") == 1


def test_inferences_that_run_together_answer_as_one_alone(model: Path) -> None:
    batches = [pictures(4) for _ in range(8)]
    with session_on(model) as session:
        alone = [session.run({"image": batch})["answer"] for batch in batches]
    with session_on(model, company="inferences") as session:
        together = [session.submit({"image": batch}) for batch in batches]
        for expected, future in zip(alone, together, strict=True):
            np.testing.assert_allclose(future.result(30).outputs["answer"].astype(np.float32), expected, rtol=1e-5)
