"""The dashboard in a real browser, over a real broker."""

import re
from typing import Any
from urllib.parse import quote

import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from messaging.frame import read_frame
from tests.browser.chromium import console_of, look_like
from tests.browser.conftest import Scene
from tests.fakes.waiting import wait_until
from tests.integration.stage import camera_frames

pytestmark = [pytest.mark.broker, pytest.mark.slow]

PAGES = ("", "throughput", "ledger", "devices", "results", "dead-letters", "pipeline", "frame")
MARKUP = "<img src=x onerror=document.title='owned'>"


def tiles(browser: Chrome) -> dict[str, dict[str, Any]]:
    """What the wall shows, by camera."""
    found: list[tuple[str, dict[str, Any]]] = browser.execute_script(
        "return [...document.querySelectorAll('.tile')].map((tile) => {"
        " const image = tile.querySelector('img'), text = (name) => tile.querySelector(name).textContent;"
        " return [text('.tile-name'), {label: text('.tile-label'), score: text('.tile-score'), "
        "  age: text('.tile-age'), width: image.hidden ? 0 : image.naturalWidth, says: image.alt}]; })"
    )
    return dict(found)


def text_of(browser: Chrome) -> str:
    return str(browser.execute_script("return document.body.innerText"))


def sees(browser: Chrome, text: str) -> None:
    try:
        wait_until(lambda: text in text_of(browser), f"the page says {text!r}")
    except AssertionError as exc:
        exc.add_note(f"it says: {text_of(browser)}")
        raise


def button(browser: Chrome, name: str) -> WebElement:
    """The last button of this name that can be pressed; a dialog's comes after the page's."""
    path = f"//button[normalize-space(.)='{name}' and not(@disabled)]"
    wait_until(lambda: bool(browser.find_elements(By.XPATH, path)), f"there is a button {name}")
    return browser.find_elements(By.XPATH, path)[-1]


def press(browser: Chrome, name: str) -> None:
    """Press a button; while a dialog opens it may still move."""

    def is_pressed() -> bool:
        try:
            button(browser, name).click()
        except WebDriverException:
            return False
        return True

    wait_until(is_pressed, f"the button {name} can be pressed")


def test_the_wall_fills_and_its_labels_change(scene: Scene, browser: Chrome) -> None:
    browser.get(scene.address)
    wait_until(
        lambda: all(tiles(browser).get(name, {}).get("width") for name in ("line-1", "line-2")),
        "both cameras have a picture",
    )
    wait_until(lambda: tiles(browser)["line-1"]["score"].endswith("%"), "it has a label")
    shown = tiles(browser)["line-1"]
    assert re.fullmatch(r"\d+\.\d s|\d+ s", shown["age"])
    assert shown["says"].startswith("line-1: ")
    wait_until(
        lambda: (now := tiles(browser)["line-1"])["score"].endswith("%") and now["label"] != shown["label"],
        "another workpiece came by",
    )


def test_a_hidden_page_asks_for_nothing(scene: Scene, browser: Chrome) -> None:
    browser.get(scene.address)
    wait_until(lambda: bool(tiles(browser)), "there is a tile")
    count = "return performance.getEntriesByType('resource').filter((each) => each.name.endsWith('/api/wall')).length"
    hide = (
        "Object.defineProperty(document, 'hidden', {configurable: true, get: () => arguments[0]});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    browser.execute_script(hide.replace("arguments[0]", "true"))
    wait = "const done = arguments[0]; setTimeout(() => done(), 2500)"
    browser.execute_async_script(wait)
    asked = browser.execute_script(count)
    browser.execute_async_script(wait)
    assert browser.execute_script(count) == asked
    browser.execute_script(hide.replace("arguments[0]", "false"))
    wait_until(lambda: browser.execute_script(count) > asked, "it asks again")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_nothing_on_the_console_and_fits_a_phone(scene: Scene, browser: Chrome, page: str) -> None:
    look_like(browser, 390, 844)
    browser.get(scene.address + page)
    sees(browser, "frame" if page == "frame" else "line")
    assert browser.execute_script("return document.scrollingElement.scrollWidth") <= 390
    places = browser.execute_script(
        "return [...document.querySelectorAll('.nav-link, .theme-button')].map((each) => [each.innerText.trim(),"
        " each.scrollWidth <= each.clientWidth, each.getBoundingClientRect().right <= innerWidth &&"
        " each.getBoundingClientRect().bottom <= innerHeight])"
    )
    assert len(places) == len(PAGES) + 1
    assert [place for place in places if not all(place)] == []
    assert console_of(browser) == []
    unnamed = browser.execute_script(
        "return [...document.querySelectorAll('button, a[href], input, img')].filter((each) =>"
        " !each.hidden && each.offsetParent && !(each.innerText?.trim() || each.ariaLabel || each.alt || each.title ||"
        " each.labels?.[0]?.innerText || each.placeholder)).map((each) => each.outerHTML)"
    )
    assert unnamed == []


@pytest.mark.parametrize(
    ("page", "width_px", "columns"),
    [
        ("ledger", 390, ("Camera", "State", "Classified", "Dead letters", "Shed")),
        ("results", 390, ("Camera", "Label or reason")),
        ("devices", 390, ("Group", "State", "Loss horizon")),
        ("dead-letters", 390, ("Camera", "Reason")),
        ("devices", 1280, ("Loss horizon", "Lag", "Lost", "Utilisation")),
        ("dead-letters", 1280, ("Reason", "Error")),
    ],
)
def test_what_matters_of_a_table_is_in_sight(
    scene: Scene, browser: Chrome, page: str, width_px: int, columns: tuple[str, ...]
) -> None:
    if page == "dead-letters":
        scene.stage.feed(camera_frames("damaged", 1, data=b"\xff\xd8\xff\xe0 this is no picture"))
    look_like(browser, width_px, 844)
    browser.get(scene.address + page)
    wait_until(lambda: bool(browser.find_elements(By.CSS_SELECTOR, "tbody td")), "the table has a row")
    in_sight = browser.execute_script(
        "const table = document.querySelector('.live-table'), edge = table.getBoundingClientRect().right;"
        "const row = [...table.querySelectorAll('tbody tr')].find((each) => each.cells.length > 1);"
        "return [...table.querySelectorAll('thead th')].filter((each, number) =>"
        " row.cells[number].getBoundingClientRect().right <= edge + 1).map((each) =>"
        " [...each.childNodes].find((node) => node.nodeType === Node.TEXT_NODE)?.textContent.trim())"
    )
    assert set(columns) <= set(in_sight)


def test_a_dead_letter_that_is_shown_comes_into_sight(scene: Scene, browser: Chrome) -> None:
    scene.stage.feed(camera_frames("damaged", 12, data=b"\xff\xd8\xff\xe0 this is no picture"))
    look_like(browser, 390, 600)
    browser.get(f"{scene.address}dead-letters")
    wait_until(lambda: len(browser.find_elements(By.CSS_SELECTOR, "tbody tr")) > 10, "there are many")
    browser.execute_script("document.querySelector('tbody button').click()")
    sees(browser, "Read at")
    top = "return document.querySelector('.letter-chosen').getBoundingClientRect().top"
    wait_until(lambda: 0 <= browser.execute_script(top) < 200, "it is at the top")


def test_names_are_text_wherever_they_stand(scene: Scene, browser: Chrome) -> None:
    scene.stage.feed(camera_frames(MARKUP, 2))
    for page in ("", "ledger", "results"):
        browser.get(scene.address + page)
        sees(browser, MARKUP)
        assert browser.find_elements(By.CSS_SELECTOR, "img[src=x]") == []
        assert browser.title != "owned"


def test_a_picture_leads_to_its_frame(scene: Scene, browser: Chrome) -> None:
    browser.get(scene.address)
    wait_until(lambda: tiles(browser).get("line-1", {}).get("score", "").endswith("%"), "it has a label")
    browser.find_element(By.XPATH, "//a[.//span[text()='line-1']]").send_keys(Keys.ENTER)
    sees(browser, "from capture to hand-over")
    picture = browser.find_element(By.CSS_SELECTOR, ".frame-picture")
    wait_until(lambda: browser.execute_script("return arguments[0].naturalWidth", picture) > 0, "it is shown")
    said = text_of(browser)
    assert re.search(r"\b[0-9a-f]{32}\b", said)
    assert all(part in said for part in ("transport", "batch wait", "decode", "device wait", "inference", "order wait"))


def test_a_frame_is_found_by_its_id(scene: Scene, browser: Chrome) -> None:
    broken = camera_frames("looked-for", 1)
    scene.stage.feed(broken)
    browser.get(f"{scene.address}frame")
    sees(browser, "Which frame?")
    browser.find_element(By.CSS_SELECTOR, ".id-field input").send_keys(broken[0].frame_id, Keys.ENTER)
    sees(browser, "Trace id")
    assert browser.title == f"{broken[0].frame_id} · dashboard"


def test_a_frame_that_nobody_knows_is_said_to_be_unknown(scene: Scene, browser: Chrome) -> None:
    browser.get(f"{scene.address}frame?id=gate%2Fnever%2F1")
    sees(browser, "Nothing is known of a frame gate/never/1 since then")
    sees(browser, "Only the last 24 hours were looked through.")
    assert "`" not in text_of(browser)
    browser.find_element(By.LINK_TEXT, "Look through everything that is kept").click()
    wait_until(lambda: "everywhere" in browser.current_url, "it looks everywhere")
    sees(browser, "Nothing is known of a frame gate/never/1:")


def test_what_is_no_id_is_not_looked_for(scene: Scene, browser: Chrome) -> None:
    browser.get(f"{scene.address}frame?id={quote(MARKUP)}")
    sees(browser, "Ids look like gate/64b1…/42.")
    assert browser.find_elements(By.CSS_SELECTOR, "img[src=x]") == []
    assert browser.title == f"{MARKUP} · dashboard"


def test_an_unknown_address_leads_back(scene: Scene, browser: Chrome) -> None:
    browser.get(f"{scene.address}nowhere")
    sees(browser, "Nothing is here")
    browser.find_element(By.LINK_TEXT, "Go to Cameras").click()
    wait_until(lambda: browser.current_url == scene.address, "it goes back")


def test_the_axis_of_a_chart_names_each_minute_once(scene: Scene, browser: Chrome) -> None:
    browser.get(f"{scene.address}throughput")
    labels = (
        "const chart = getElement(Number(document.querySelector('.chart')?.id.slice(1)))?.chart;"
        "if (!chart?.getOption()?.series[0].data.length) return null;"
        "return chart.getZr().storage.getDisplayList(true).map((shape) => shape.style?.text)"
        ".filter((text) => /^\\d\\d:\\d\\d$/.test(text))"
    )
    wait_until(lambda: browser.execute_script(labels) is not None, "the chart is drawn")
    found = browser.execute_script(labels)
    assert sorted(found) == sorted(set(found))  # a full hour is drawn apart from the minutes
    assert 4 <= len(found) <= 6


def test_a_dead_letter_is_put_back(scene: Scene, browser: Chrome) -> None:
    broken = camera_frames("broken", 1, data=b"\xff\xd8\xff\xe0 this is no picture")
    scene.stage.feed(broken)
    browser.get(f"{scene.address}dead-letters")
    sees(browser, "broken")
    browser.find_element(By.CSS_SELECTOR, "input[aria-label=Filter]").send_keys("broken")
    wait_until(lambda: "damaged" not in text_of(browser), "the others are gone")
    press(browser, "Show")
    sees(browser, "Read at")
    assert "Put back before\nnever" in text_of(browser)
    press(browser, "Put back")
    sees(browser, "Put this frame back?")
    press(browser, "Put back")
    sees(browser, f"Put back on {scene.stage.topics.frames}.")
    sees(browser, "See what becomes of it")
    assert browser.find_elements(By.XPATH, "//button[normalize-space(.)='Put back' and not(@disabled)]") == []
    replays = [
        frame for record in scene.stage.records(scene.stage.topics.frames) if (frame := read_frame(record)).replay
    ]
    assert [(frame.frame_id, frame.replay_for, frame.replay) for frame in replays] == [(broken[0].frame_id, "line", 1)]
    wait_until(
        lambda: [letter.camera for letter in scene.stage.dead_letters()].count("broken") == 2,
        "the group could not classify it again",
    )


def test_results_can_be_sifted(scene: Scene, browser: Chrome) -> None:
    browser.get(f"{scene.address}results")
    sees(browser, "line-1")
    find = browser.find_element(By.CSS_SELECTOR, "input[aria-label=Filter]")
    find.send_keys("line-2")
    cameras = "return [...document.querySelectorAll('tbody tr td:nth-child(2)')].map((cell) => cell.innerText)"
    wait_until(lambda: set(browser.execute_script(cameras)) == {"line-2"}, "the others are gone")


def test_the_theme_stays(scene: Scene, browser: Chrome) -> None:
    is_dark = "return document.body.classList.contains('body--dark')"
    look_like(browser, 1280, 860, is_dark=True)
    browser.get(scene.address)
    wait_until(lambda: bool(browser.execute_script(is_dark)), "it is as dark as the system")
    for is_it in (True, False):
        browser.find_element(By.CSS_SELECTOR, "[data-theme-button]").click()
        wait_until(lambda is_it=is_it: browser.execute_script(is_dark) is is_it, "it changes")  # type: ignore[misc]
    browser.get(f"{scene.address}ledger")
    sees(browser, "Theme: light")
    assert browser.execute_script(is_dark) is False


def test_the_keyboard_reaches_the_content(scene: Scene, browser: Chrome) -> None:
    browser.get(scene.address)
    wait_until(lambda: bool(tiles(browser)), "there is a tile")
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    assert browser.switch_to.active_element.text == "Skip to the content"
