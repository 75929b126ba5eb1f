"""How `streamer dlq` shows dead letters: tables, and facts for programs."""

from collections import Counter
from typing import TYPE_CHECKING

from messaging.timestamps import format_us
from streamer.terminal import print_json, print_table

if TYPE_CHECKING:
    from streamer.dead_letters import StoredDeadLetter, WholeDeadLetter

_COLUMNS = ("camera", "reason", "error", "frame id", "when", "group", "size", "where")


def print_summary(counts: "Counter[tuple[str, str]]", *, is_json: bool) -> None:
    """Print how many dead letters there are of each (reason, camera), the most first."""
    rows = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    if is_json:
        for (reason, camera), count in rows:
            print_json({"reason": reason, "camera": camera, "count": count})
    elif rows:
        print_table("", ("reason", "camera", "count"), [(reason, camera, count) for (reason, camera), count in rows])
    else:
        print("no dead letters")


def print_letters(letters: "list[StoredDeadLetter]") -> None:
    """Print a table of dead letters in their order."""
    if letters:
        print_table("", _COLUMNS, [_row(stored) for stored in letters])
    else:
        print("no dead letters")


def _row(stored: "StoredDeadLetter") -> tuple[object, ...]:
    letter = stored.letter
    when = format_us(stored.written_at_us)
    return (
        *(letter.camera, letter.reason, letter.error, letter.frame_id, when, letter.group),
        *(_size(stored), stored.place),
    )


def _size(stored: "StoredDeadLetter") -> str:
    return f"{stored.size_bytes}" if stored.size_bytes or stored.letter.reason == "empty" else "left behind"


def facts_of(stored: "StoredDeadLetter") -> dict[str, object]:
    """Return what a program wants to know of a dead letter."""
    letter = stored.letter
    return {
        "id": str(stored.place),
        "camera": letter.camera,
        "frame_id": letter.frame_id,
        "group": letter.group,
        "reason": letter.reason,
        "error": letter.error,
        "written_at": format_us(stored.written_at_us),
        "size_bytes": stored.size_bytes,
        "replay": letter.replay,
        "original": {
            "topic": letter.original_topic,
            "partition": letter.original_partition,
            "offset": letter.original_offset,
        },
    }


def print_whole(found: "WholeDeadLetter") -> None:
    """Print all that is known of one dead letter, its headers included."""
    letter = found.stored.letter
    facts = [
        *zip(_COLUMNS, _row(found.stored), strict=True),
        ("frame at", f"{letter.original_topic}-{letter.original_partition} offset {letter.original_offset}"),
        ("replays before", letter.replay),
        *((f"header {name}", text) for name, text in headers_of(found)),
    ]
    print_table("", ("what", "value"), facts)
    if found.others:
        others = ", ".join(map(str, found.others))
        print(f"older dead letters of this frame, by this group or others: {others}")


def headers_of(found: "WholeDeadLetter") -> list[tuple[str, str]]:
    """Return the headers as text, bytes that are no UTF-8 escaped."""
    return [(name, (value or b"").decode(errors="backslashreplace")) for name, value in found.record.headers]
