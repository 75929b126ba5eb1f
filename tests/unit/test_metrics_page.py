"""docs/metrics.md says what the code measures."""

from tools.make_metrics_page import PATH, names, page, tables


def test_the_page_is_what_the_code_says() -> None:
    assert PATH.read_text(encoding="utf-8") == page(), "run `python tools/make_metrics_page.py`"


def test_our_names_are_of_two_families_and_each_says_what_it_is() -> None:
    for title, metrics in tables():
        for metric in metrics:
            prefix = "streamer.camera." if title == "Of cameras" else "streamer."
            assert metric.name.startswith((prefix, "messaging.")), metric.name
            assert metric.description
            assert not metric.description.endswith(".")
    assert {"streamer_frames_total", "streamer_camera_fps_delivered", "streamer_batch_size_bucket"} <= names()
