"""Names that anybody may invent."""

from streamer.watch.roster import Roster

NOW_S = 1000.0


def test_a_name_keeps_its_thing() -> None:
    roster: Roster[list[int]] = Roster(2, list)
    first = roster.hear("a", NOW_S)
    assert first is not None
    first.append(1)
    assert roster.hear("a", NOW_S + 1) == [1]
    assert roster.get("a") == [1]
    assert roster.get("b") is None
    assert list(roster.items()) == [("a", [1])]


def test_who_speaks_is_pushed_out_by_nobody_and_what_has_no_room_is_counted_once() -> None:
    roster: Roster[list[int]] = Roster(2, list)
    for name in ("a", "b"):
        roster.hear(name, NOW_S)
    for number in range(100):
        assert roster.hear(f"invented-{number % 10}", NOW_S + 59) is None
    assert list(roster) == ["a", "b"]
    assert roster.left_out == 10


def test_who_was_silent_for_a_minute_gives_way() -> None:
    gone: list[str] = []
    roster: Roster[list[int]] = Roster(2, list, gone.append)
    roster.hear("speaks", NOW_S)
    roster.hear("silent", NOW_S)
    roster.hear("new", NOW_S + 30)
    assert roster.left_out == 1
    roster.hear("speaks", NOW_S + 60)
    assert roster.hear("new", NOW_S + 60) == []
    assert gone == ["silent"]
    assert list(roster) == ["speaks", "new"]
    assert roster.left_out == 0


def test_what_is_counted_of_invented_names_is_bounded() -> None:
    roster: Roster[list[int]] = Roster(1, list)
    roster.hear("a", NOW_S)
    for number in range(20_000):
        roster.hear(str(number), NOW_S)
    assert roster.left_out == 10_000
