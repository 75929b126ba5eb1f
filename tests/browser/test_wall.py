"""The wall of cameras in a real browser, where names and answers are not as usual."""

import json

import pytest
from selenium.webdriver import Chrome

from messaging.status import write_status
from tests.browser.conftest import Scene
from tests.browser.test_dashboard import sees, tiles
from tests.fakes.records import TIME_US
from tests.fakes.waiting import wait_until
from tests.fakes.watched import camera_status, worker_status
from tests.integration.stage import camera_frames

pytestmark = [pytest.mark.broker, pytest.mark.slow]


@pytest.mark.parametrize("name", ["__proto__", "constructor"])
def test_a_camera_may_have_any_name(scene: Scene, browser: Chrome, name: str) -> None:
    browser.get(scene.address)
    wait_until(lambda: bool(tiles(browser)), "there is a tile")
    scene.stage.feed(camera_frames(name, 2))
    wait_until(lambda: tiles(browser).get(name, {}).get("width", 0) > 0, "it has a picture")


def test_an_answer_for_another_group_is_not_shown(scene: Scene, browser: Chrome) -> None:
    browser.get(scene.address)
    wait_until(lambda: bool(tiles(browser)), "there is a tile")
    # Asked for group a; as the answer comes, what is chosen is the second word.
    ask = """
        const [chosen, done] = arguments;
        const address = performance.getEntriesByType("resource").find((each) => each.name.includes("wall.js")).name;
        import(address).then(async ({ default: wall }) => {
          const asks = window.fetch, taken = [];
          const page = { group: "a", inSight: new Set(), tiles: new Map(), isGone: false, isAsking: false, ask() {} };
          page.take = () => { taken.push(page.group); return 60_000; };
          window.fetch = async (address, { body }) => {
            const asked = JSON.parse(body).group;
            page.group = chosen;
            return { ok: asked === "a", arrayBuffer: async () => new ArrayBuffer(0) };
          };
          await wall.methods.ask.call(page);
          clearTimeout(page.timer);
          window.fetch = asks;
          done(taken);
        });
    """
    assert browser.execute_async_script(ask, "a") == ["a"]
    assert browser.execute_async_script(ask, "b") == []


def test_figures_beyond_all_measure_take_no_page_away(scene: Scene, browser: Chrome) -> None:
    camera = json.loads(write_status(camera_status("vast"), 1, TIME_US).value) | {"captured": 10**30}
    worker = json.loads(write_status(worker_status(host="vast"), 1, TIME_US).value) | {"frames_lost": 10**30}
    producer = scene.stage.cluster.producer(linger_ms=5)
    for key, status in (("camera/vast", camera), ("worker/g/vast/0/0", worker)):
        producer.send(scene.stage.topics.status, json.dumps(status).encode(), key.encode()).get(timeout=30)
    producer.close()
    for page in ("", "ledger", "devices"):
        browser.get(scene.address + page)
        sees(browser, "Not shown: 2 records that cannot be read.")
        sees(browser, "line")
