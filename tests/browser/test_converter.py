"""The converter in a real browser: from a file that is sent in to one that is fetched, and what it refuses."""

import io
import json
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from engine.models.npz import load_npz
from tests.browser.chromium import console_of, look_like
from tests.browser.model_pages import (
    MAX_UPLOAD_BYTES,
    Place,
    give_file,
    link_of,
    opened,
    press_in_sight,
    tiny_model,
    with_outside_weights,
)
from tests.browser.test_dashboard import button, press, sees
from tests.browser.test_dashboard_access import EVIL, Answer, Client
from tests.fakes.waiting import wait_until

pytestmark = pytest.mark.slow

FIELD = "Model to convert"
UPLOAD = "/api/upload/model?name="


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with opened("converter", tmp_path_factory.mktemp("store")) as place:
        yield place


def send(client: Client, name: str, data: bytes, **headers: str) -> Answer:
    return client.ask(UPLOAD + quote(name, safe=""), "POST", data.decode("latin-1"), **headers)


def why(answer: Answer) -> str:
    return str(json.loads(answer.body)["error"])


def pickled_archive() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("weights.npy", b"")
        archive.writestr("archive/data.pkl", pickle.dumps({"a": 1}))
    return data.getvalue()


def test_from_an_upload_to_a_download_and_to_the_store(place: Place, browser: Chrome, tmp_path: Path) -> None:
    file = tmp_path / "Bottles V2.onnx"
    file.write_bytes(tiny_model().SerializeToString())
    look_like(browser, 390, 844, is_dark=True)
    browser.get(place.address)
    give_file(browser, FIELD, file)
    press(browser, "tinygrad")
    press(browser, "2")
    press(browser, "Convert")
    sees(browser, "Top class is the same")
    sees(browser, "100.0 %")
    sees(browser, ".onnx to .npz")
    assert browser.execute_script("return document.scrollingElement.scrollWidth") <= 390
    address = urlsplit(link_of(browser, "Download bottles-v2.npz"))
    got = place.client.ask(address.path)
    assert got.headers["content-disposition"] == 'attachment; filename="bottles-v2.npz"'
    made = tmp_path / "made.npz"
    made.write_bytes(got.body)
    assert [value.name for value in load_npz(made).graph.output] == ["y"]
    press_in_sight(browser, "Keep it in the store")
    sees(browser, "The store has it as bottles-v2, version")
    kept = place.store.get("bottles-v2").current
    assert (kept.path.read_bytes(), kept.original_name) == (got.body, "Bottles V2.onnx")
    assert kept.origin == "web converter: optimised, level 2, .onnx to .npz"
    assert console_of(browser) == []


def test_a_job_is_cancelled_and_another_begins(place: Place, browser: Chrome, tmp_path: Path) -> None:
    file = tmp_path / "tiny.onnx"
    file.write_bytes(tiny_model().SerializeToString())
    browser.get(place.address)
    give_file(browser, FIELD, file)
    button(browser, "Convert")
    press(browser, "tinygrad")
    press(browser, "Convert")
    held = (By.CSS_SELECTOR, f"input[type=file][aria-label='{FIELD}'][disabled]")
    wait_until(lambda: bool(browser.find_elements(*held)), "no other file comes meanwhile")
    press(browser, "Cancel")
    sees(browser, "Cancelled.")
    press(browser, "ONNX")
    press(browser, "Convert")
    sees(browser, "The model is .onnx already: choose another kind")
    assert browser.find_elements(*held) == []


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("large.onnx", b"\x08\x08" + bytes(MAX_UPLOAD_BYTES), "The model is larger than 64.0 KiB"),
        ("wrong.onnx", b"\x89PNG\r\n\x1a\n" + bytes(16), "This is no .onnx file: its first bytes"),
        ("weights.pt", pickle.dumps({"a": 1}), "This is a pickle, which can run any code"),
        ("program.pt2", b"PK\x03\x04", "this is .pt2: streamer convert opens it"),
        ("weights.npz", pickled_archive(), "weights.npz holds a pickle, which can run any code"),
        ("outside.onnx", with_outside_weights(tiny_model()), "it keeps the weights 'filters' in another file"),
        ("<img src=x onerror=document.title='owned'>.onnx", b"\x08", "'owned'>.onnx is no model"),
    ],
)
def test_a_page_says_why_a_file_is_refused(
    place: Place, browser: Chrome, tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(data)
    browser.get(place.address)
    give_file(browser, FIELD, tmp_path / name)
    sees(browser, said)
    assert "owned" not in browser.title
    assert browser.find_elements(By.CSS_SELECTOR, "img[src='x']") == []
    assert browser.execute_script(
        "return [...document.querySelectorAll('button')].find((each) => each.innerText.trim() === 'Convert').disabled"
    )


@pytest.mark.parametrize(
    "name", ["../../etc/cron.d/x.onnx", "..\\x.onnx", ".onnx", "", "a\nb.onnx", f"{'a' * 300}.onnx"]
)
def test_a_name_that_is_none_is_refused(place: Place, name: str) -> None:
    answer = send(place.client, name, b"\x08\x08")
    assert answer.status == 400
    assert "name" in why(answer)


def test_a_body_is_bounded_while_it_comes(place: Place) -> None:
    large = b"\x08" * (MAX_UPLOAD_BYTES + 1)
    for headers in ({}, {"Transfer_Encoding": "chunked"}):
        chunk = f"{len(large):x}\r\n".encode() + large + b"\r\n0\r\n\r\n"
        answer = send(place.client, "a.onnx", chunk if headers else large, **headers)
        assert answer.status == 413
        assert "--max-upload-bytes" in why(answer)


def test_other_pages_send_nothing(place: Place) -> None:
    assert send(place.client, "a.onnx", b"\x08\x08", Origin=EVIL).status == 403
    assert send(place.client, "a.onnx", b"\x08\x08", Host="evil.example").status == 421
    assert place.client.ask("/api/download/guessed").status == 404
