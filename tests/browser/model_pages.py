"""What the tests of pages about models share: a tiny classifier, and a page that is given files."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from engine.models.store.store import ModelStore
from tests.browser.chromium import is_there
from tests.browser.conftest import START_S, start
from tests.browser.test_dashboard import button, press
from tests.browser.test_dashboard_access import Client
from tests.fakes.rtsp_camera import need
from tests.fakes.waiting import wait_until

CLASSES = 3
MAX_UPLOAD_BYTES = 64 * 1024


@dataclass(frozen=True)
class Place:
    """The converter or the manager as it runs.

    Attributes:
        address: Its own, with a slash at the end.
        client: Asks it without a browser.
        store: That it keeps models in.
    """

    address: str
    client: Client
    store: ModelStore


@contextmanager
def opened(name: str, store: Path) -> Iterator[Place]:
    """Start the converter or the manager at a free port, for a browser."""
    need(is_there(), "chromium and its driver")
    with ExitStack() as stack:
        process = start(
            stack,
            *("web", name, "--port", "0", "--json", "--model-store", str(store)),
            *("--max-upload-bytes", str(MAX_UPLOAD_BYTES)),
        )
        stack.callback(process.terminate)  # one that is killed leaves its uploads
        address: str = process.first_json(START_S)["address"]
        yield Place(address, Client(address), ModelStore(store))


def tiny_model(seed: int = 0) -> onnx.ModelProto:
    """Return a classifier of pictures of 8×8 px: float32[n, 3, 8, 8] to float32[n, 3]."""
    random = np.random.default_rng(seed)
    weights = {
        "filters": random.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "scores": random.normal(size=(4, CLASSES)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "filters"], ["filtered"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["filtered"], ["lit"]),
        helper.make_node("GlobalAveragePool", ["lit"], ["means"]),
        helper.make_node("Flatten", ["means"], ["row"]),
        helper.make_node("MatMul", ["row", "scores"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", CLASSES])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def with_outside_weights(model: onnx.ModelProto) -> bytes:
    """Return a model that says that its first weights are in another file, which every machine has."""
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../etc/passwd")
    data: bytes = model.SerializeToString()
    return data


def give_file(browser: Chrome, label: str, path: Path) -> None:
    """Choose a file in the field of that name."""
    field = (By.CSS_SELECTOR, f"input[type=file][aria-label='{label}']:not([disabled])")
    wait_until(lambda: bool(browser.find_elements(*field)), f"there is a field {label}")
    browser.find_element(*field).send_keys(str(path))


def press_in_sight(browser: Chrome, name: str) -> None:
    """Press a button that may stand behind a phone's navigation: a driver scrolls no further than to there."""
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button(browser, name))
    press(browser, name)


def link_of(browser: Chrome, text: str) -> str:
    """Return the address of the first link with this text."""
    path = f"//a[normalize-space(.)='{text}']"
    wait_until(lambda: bool(browser.find_elements(By.XPATH, path)), f"there is a link {text}")
    return str(browser.find_element(By.XPATH, path).get_attribute("href"))
