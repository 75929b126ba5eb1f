"""Pictures that a page is about to ask for."""

from streamer.web.shelf import PictureShelf, ShelvedPicture


def test_a_picture_is_given_for_its_name_alone() -> None:
    shelf = PictureShelf()
    name = shelf.put(b"jpeg", "image/jpeg")
    assert shelf.get(name) == ShelvedPicture(b"jpeg", "image/jpeg")
    assert shelf.get(name + "x") is None
    assert shelf.put(b"jpeg", "image/jpeg") != name


def test_the_oldest_make_room() -> None:
    shelf = PictureShelf(max_bytes=100)
    names = [shelf.put(bytes(40), "image/png") for _ in range(3)]
    assert [shelf.get(name) is not None for name in names] == [False, True, True]


def test_many_small_ones_are_bounded_too() -> None:
    shelf = PictureShelf()
    names = [shelf.put(b"x", "image/png") for _ in range(300)]
    assert sum(shelf.get(name) is not None for name in names) == 256


def test_one_that_is_larger_than_the_shelf_is_kept_until_the_next() -> None:
    shelf = PictureShelf(max_bytes=10)
    large = shelf.put(bytes(50), "image/png")
    assert shelf.get(large) is not None
    shelf.put(b"x", "image/png")
    assert shelf.get(large) is None
