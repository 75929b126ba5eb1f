from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.errors import SourceFailedError, SourceSettingError
from producers.sources.synthetic import SyntheticSource
from producers.sources.synthetic.source import SyntheticOptions, parse_uri
from producers.sources.synthetic.workpiece import LABELS, WorkpieceRenderer


def test_labels_are_in_the_order_of_the_models_outputs() -> None:
    assert LABELS == ("ok", "scratch", "dent", "crack", "hole")


def test_one_seed_gives_the_same_frames_again() -> None:
    one, two = WorkpieceRenderer(7), WorkpieceRenderer(7)
    for _ in range(20):
        (a, label_a), (b, label_b) = one.render(), two.render()
        assert label_a == label_b
        assert np.array_equal(a, b)


def test_other_seeds_and_later_frames_are_other_pictures() -> None:
    renderers = [WorkpieceRenderer(seed) for seed in range(3)]
    seen = {renderer.render()[0].tobytes() for renderer in renderers for _ in range(40)}
    assert len(seen) == 120


@pytest.mark.parametrize("size_px", [64, 100, 256, 512])
def test_a_frame_has_the_size_asked_for(size_px: int) -> None:
    renderer = WorkpieceRenderer(1, size_px)
    for _ in range(20):
        pixels, label = renderer.render()
        assert pixels.shape == (size_px, size_px, 3)
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
        assert label in LABELS


@pytest.mark.parametrize("size_px", [63, 513])
def test_a_size_out_of_range_is_refused(size_px: int) -> None:
    with pytest.raises(ValueError, match="64 to 512"):
        WorkpieceRenderer(1, size_px)


def test_a_frame_stays_as_it_is_when_the_next_one_is_drawn() -> None:
    renderer = WorkpieceRenderer(3)
    first, _ = renderer.render()
    before = first.copy()
    renderer.render()
    assert np.array_equal(first, before)


def test_labels_are_balanced() -> None:
    renderer = WorkpieceRenderer(11, 64)
    counts = Counter(renderer.render()[1] for _ in range(2000))
    assert set(counts) == set(LABELS)
    # 400 each are expected, with a standard deviation of 18.
    assert all(310 < count < 490 for count in counts.values())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_noise_never_wraps_around(seed: int) -> None:
    # A wrapped value is a white point in the dark: without the limits these seeds give steps above 200 between
    # a pixel and both its neighbours, with them 110.
    renderer = WorkpieceRenderer(seed)
    for _ in range(60):
        pixels, _ = renderer.render()
        values = pixels.astype(np.int16)
        step = np.minimum(np.abs(values[:, 1:-1] - values[:, :-2]), np.abs(values[:, 1:-1] - values[:, 2:]))
        assert step.max() < 170


def test_the_source_reads_pictures_with_their_truth() -> None:
    with SyntheticSource("synthetic:workpiece?size=96&seed=4") as source:
        pictures = [source.read() for _ in range(30)]
    assert {picture.truth for picture in pictures} == set(LABELS)
    for picture in pictures:
        assert picture.pixels is not None
        assert picture.pixels.shape == (96, 96, 3)
        assert picture.encoded is None


def test_a_seed_starts_again_at_each_opening() -> None:
    source = SyntheticSource("synthetic:workpiece?seed=9&size=64")
    firsts = []
    for _ in range(2):
        source.open()
        pixels = source.read().pixels
        assert pixels is not None
        firsts.append(pixels)
        source.close()
        source.close()
    assert np.array_equal(firsts[0], firsts[1])


def test_without_a_seed_each_opening_differs() -> None:
    source = SyntheticSource("synthetic:workpiece?size=64")
    firsts = set()
    for _ in range(2):
        with source:
            pixels = source.read().pixels
            assert pixels is not None
            firsts.add(pixels.tobytes())
    assert len(firsts) == 2


def test_the_source_is_not_live_and_has_no_rate_of_its_own() -> None:
    source = SyntheticSource("synthetic:workpiece")
    assert not source.is_live
    assert source.fps is None
    assert source.display_name == "synthetic:workpiece"


def test_reading_before_opening_says_so() -> None:
    with pytest.raises(SourceFailedError, match="read before open"):
        SyntheticSource("synthetic:workpiece").read()


@pytest.mark.parametrize(
    ("uri", "options"),
    [
        ("synthetic:workpiece", SyntheticOptions()),
        ("synthetic:workpiece?", SyntheticOptions()),
        ("SYNTHETIC:workpiece?seed=0", SyntheticOptions(seed=0)),
        ("synthetic:workpiece?size=64&seed=12", SyntheticOptions(size_px=64, seed=12)),
    ],
)
def test_uri(uri: str, options: SyntheticOptions) -> None:
    assert parse_uri(uri) == options


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("synthetic:", "kind '' is unknown; use synthetic:workpiece"),
        ("synthetic", "kind '' is unknown; use synthetic:workpiece"),
        ("synthetic:cats", "kind 'cats' is unknown; use synthetic:workpiece"),
        ("synthetic:workpiece?colour=red", "option 'colour' is unknown; it can be size or seed"),
        ("synthetic:workpiece?seed=1&seed=2", "'seed' is given twice"),
        ("synthetic:workpiece?size=9999", "size=9999 cannot be used; give a whole number, 64 to 512"),
        ("synthetic:workpiece?size=", "size= cannot be used"),
        ("synthetic:workpiece?seed=-1", "seed=-1 cannot be used"),
        ("synthetic:workpiece?seed=²", "cannot be used"),
    ],
)
def test_a_uri_that_cannot_be_used_is_named(uri: str, message: str) -> None:
    with pytest.raises(SourceSettingError) as caught:
        SyntheticSource(uri).check()
    assert message in str(caught.value)
    assert uri in str(caught.value)


@given(st.text(max_size=30))
def test_any_query_is_read_or_refused_with_our_error(query: str) -> None:
    try:
        options = parse_uri(f"synthetic:workpiece?{query}")
    except SourceSettingError:
        return
    assert 64 <= options.size_px <= 512
