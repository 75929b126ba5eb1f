"""The manager in a real browser: the store's models from their upload to their end."""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

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
from tests.browser.test_dashboard import press, sees, text_of
from tests.fakes.tflite_models import save_tiny_tflite
from tests.fakes.waiting import wait_until

pytestmark = pytest.mark.slow

FIELD = "Model to add"
MARKUP = "<img src=x onerror=document.title='owned'>"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with opened("manager", tmp_path_factory.mktemp("store")) as place:
        yield place


@pytest.fixture
def bottles(place: Place, tmp_path: Path) -> Iterator[str]:
    """The name of a model of two versions, of which the older one is current."""
    for seed in (0, 1):
        file = tmp_path / f"{seed}.onnx"
        file.write_bytes(tiny_model(seed).SerializeToString())
        place.store.add(file, "bottles", origin=f"made by {MARKUP}", original_name=MARKUP)
    yield "bottles"
    for model in place.store.models():
        place.store.delete(model.name)


def test_a_model_comes_in_and_goes_out(place: Place, browser: Chrome, tmp_path: Path) -> None:
    data = tiny_model().SerializeToString()
    file = tmp_path / "Caps.onnx"
    file.write_bytes(data)
    browser.get(place.address)
    sees(browser, "No model yet")
    give_file(browser, FIELD, file)
    digest = hashlib.sha256(data).hexdigest()
    sees(browser, f"caps has version {digest[:12]}.")
    browser.get(link_of(browser, "caps"))
    got = place.client.ask(urlsplit(link_of(browser, "Download")).path)
    assert (got.body, got.headers["content-disposition"]) == (data, 'attachment; filename="caps.onnx"')
    press(browser, "Delete the model")
    press(browser, "Cancel")
    press(browser, "Delete the model")
    press(browser, "Delete it")
    sees(browser, "No model yet")
    assert place.store.models() == []
    assert console_of(browser) == []


def test_another_version_is_made_current_and_the_first_one_deleted(place: Place, browser: Chrome, bottles: str) -> None:
    newer, older = place.store.get(bottles).versions
    browser.get(f"{place.address}model?name={bottles}")
    press(browser, "Make it current")
    sees(browser, f"Version {newer.short_digest} is current now: consumers of bottles take it.")
    assert place.store.get(bottles).current.digest == newer.digest
    press(browser, "Delete")
    press(browser, "Delete it")
    sees(browser, f"Version {older.short_digest} is deleted.")
    assert [version.digest for version in place.store.get(bottles).versions] == [newer.digest]
    field = browser.find_element(By.CSS_SELECTOR, "input[aria-label='New name']")
    field.send_keys("-2")
    press(browser, "Rename")
    wait_until(lambda: browser.current_url.endswith("model?name=bottles-2"), "the page has the new name")
    sees(browser, "renamed · from bottles")
    assert "owned" not in browser.title
    assert browser.find_elements(By.CSS_SELECTOR, "img[src='x']") == []


def test_what_is_in_a_model_is_shown(place: Place, browser: Chrome, bottles: str, tmp_path: Path) -> None:
    look_like(browser, 390, 844)
    browser.get(f"{place.address}model?name={bottles}")
    width = "return document.querySelector('.model-picture')?.naturalWidth ?? 0"
    for what in ("architecture", "weights"):
        press_in_sight(browser, f"Draw the {what}")
        wait_until(
            lambda what=what: (  # type: ignore[misc]
                bool(browser.find_elements(By.CSS_SELECTOR, f"img[alt='The {what} of bottles']"))
                and browser.execute_script(width) > 100
            ),
            f"there is a picture of the {what}",
        )
    press_in_sight(browser, "Analyse")
    sees(browser, "GlobalAveragePool 1")
    sees(browser, "Parameters\n120")
    picture = tmp_path / "red.png"
    Image.new("RGB", (20, 20), (200, 30, 3)).save(picture)
    give_file(browser, "Picture to classify", picture)
    sees(browser, "class_1")
    scores = [line for line in text_of(browser).splitlines() if line.endswith(" %") and line[0].isdigit()]
    assert len(scores) >= 3
    assert browser.execute_script("return document.scrollingElement.scrollWidth") <= 390
    assert console_of(browser) == []


def test_a_tflite_model_is_kept_and_no_consumer_is_named_for_it(place: Place, browser: Chrome, tmp_path: Path) -> None:
    place.store.add(save_tiny_tflite(tmp_path / "flat.tflite"), origin="upload")
    browser.get(f"{place.address}model?name=flat")
    sees(browser, "none runs a TFLite model")
    picture = tmp_path / "red.png"
    Image.new("RGB", (20, 20), (200, 30, 3)).save(picture)
    give_file(browser, "Picture to classify", picture)
    sees(browser, "Model flat is a TFLite model, which no back end runs")
    place.store.delete("flat")


def test_two_models_are_compared(place: Place, browser: Chrome, bottles: str) -> None:
    newer, older = (f"{bottles}@{version.digest}" for version in place.store.get(bottles).versions)
    browser.get(f"{place.address}compare?before={older}&after={newer}")
    press(browser, "Compare")
    sees(browser, "8 random inputs")
    sees(browser, "Largest difference")


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("large.onnx", b"\x08\x08" + bytes(MAX_UPLOAD_BYTES), "The model is larger than 64.0 KiB"),
        ("weights.pt", b"\x80\x02}q\x00.", "A model ends in .onnx, .npz, .tflite; this is .pt"),
        ("outside.onnx", with_outside_weights(tiny_model()), "it keeps the weights 'filters' in another file"),
    ],
)
def test_what_is_no_model_does_not_come_in(
    place: Place, browser: Chrome, tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(data)
    browser.get(place.address)
    give_file(browser, FIELD, tmp_path / name)
    sees(browser, said)
    assert place.store.models() == []


def test_what_is_no_picture_is_not_tried(place: Place, browser: Chrome, bottles: str, tmp_path: Path) -> None:
    damaged = io.BytesIO()
    Image.new("RGB", (20, 20)).save(damaged, "PNG")
    (tmp_path / "damaged.png").write_bytes(damaged.getvalue()[:40])
    (tmp_path / "page.png").write_bytes(b"<html></html>" * 4)
    browser.get(f"{place.address}model?name={bottles}")
    give_file(browser, "Picture to classify", tmp_path / "page.png")
    sees(browser, "This is no .png file")
    give_file(browser, "Picture to classify", tmp_path / "damaged.png")
    wait_until(
        lambda: bool(browser.find_elements(By.CSS_SELECTOR, ".work-said.is-bad")), "it says what is wrong with it"
    )


def test_an_unknown_model_and_version_say_so(place: Place, browser: Chrome) -> None:
    browser.get(f"{place.address}model?name=../../etc")
    sees(browser, "has no model '../../etc'")
    assert place.client.ask("/api/model/..%2F..%2Fetc/passwd").status == 404
    assert place.client.ask("/api/model/none/0123456789").status == 404
