"""The drawing has every point, at its place, and no markup of names."""

from xml.etree import ElementTree as ET

import pytest

from streamer.classifiers.picture import Point, svg

SVG = "{http://www.w3.org/2000/svg}"


def circles(text: str) -> dict[str, tuple[float, float]]:
    found = {}
    for circle in ET.fromstring(text).iter(f"{SVG}circle"):
        title = circle.find(f"{SVG}title")
        assert title is not None
        found[str(title.text)] = (float(circle.attrib["cx"]), float(circle.attrib["cy"]))
    return found


def test_up_is_faster_and_left_is_sooner() -> None:
    text = svg([Point("slow", 10, 500, "measured"), Point("quick", 10_000, 2, "simulated")], "two")
    places = {title.partition(":")[0]: place for title, place in circles(text).items()}
    assert places["quick"][0] < places["slow"][0]
    assert places["quick"][1] < places["slow"][1]
    words = {element.text for element in ET.fromstring(text).iter(f"{SVG}text")}
    assert {"two", "slow", "quick", "measured", "simulated", "100", "1,000", "images per second"} <= words
    assert "listed" not in words


@pytest.mark.parametrize("images_per_s", [10 ** (step / 40) for step in range(160)])
def test_an_axis_has_two_ticks_also_where_points_are_near(images_per_s: float) -> None:
    text = svg([Point("a", images_per_s, 3, "best"), Point("b", images_per_s * 1.01, 3, "measured")], "near")
    words = [
        element for element in ET.fromstring(text).iter(f"{SVG}text") if element.attrib.get("text-anchor") == "end"
    ]
    assert len([word for word in words if str(word.text).replace(",", "").replace(".", "").isdigit()]) >= 2


def test_names_are_text_and_nothing_is_drawn_where_there_is_nothing() -> None:
    text = svg([Point("<b>&", 5, 5, "best"), Point("none", 0, 5, "measured")], "<i>")
    assert {title.partition(":")[0] for title in circles(text)} == {"<b>&", "best"}
    assert circles(svg([], "empty")) == {}
