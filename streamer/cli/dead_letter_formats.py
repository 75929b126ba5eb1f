"""How `streamer dlq` shows dead letters: tables, and facts for programs."""

from collections import Counter
from typing import TYPE_CHECKING

from messaging.timestamps import format_us
from streamer.terminal import print_json, print_table

if TYPE_CHECKING:
    from streamer.dead_letters import StoredDeadLetter, WholeDeadLetter

_COLUMNS = ("where", "when", "frame id", "camera", "reason", "group")
#: What commands take as it stands here.
_COPIED = ("where", "when", "frame id")


def print_summary(counts: "Counter[tuple[str, str]]", *, is_json: bool) -> None:
    """Print how many dead letters there are of each (reason, camera), the most first."""
    rows = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    if is_json:
        for (reason, camera), count in rows:
            print_json({"reason": reason, "camera": camera, "count": count})
    else:
        print_table("", ("reason", "camera", "count"), [(reason, camera, count) for (reason, camera), count in rows])


def print_letters(letters: "list[StoredDeadLetter]") -> None:
    """Print a table of dead letters in their order."""
    print_table("", _COLUMNS, [_row(stored) for stored in letters], unfolded=_COPIED)


def none_of(seen: int, since_us: int | None = None) -> str:
    """Say that none of the dead letters that were read is wanted."""
    since = "" if since_us is None else f" since {format_us(since_us)}"
    if seen == 0:
        return f"no dead letters{since}"
    number = "the one dead letter" if seen == 1 else f"the {seen} dead letters"
    return f"none of {number}{since} matches"


def _row(stored: "StoredDeadLetter") -> tuple[object, ...]:
    letter = stored.letter
    when = f"{format_us(stored.written_at_us).partition('.')[0]}Z"
    return stored.place, when, letter.frame_id, letter.camera, letter.reason, letter.group


def _size(stored: "StoredDeadLetter") -> str:
    return f"{stored.size_bytes} bytes" if stored.size_bytes or stored.letter.reason == "empty" else "left behind"


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
    """Print all that is known of one dead letter, with the headers that say more."""
    letter = found.stored.letter
    shown = {
        "ce_id": letter.frame_id,
        "ce_subject": letter.camera,
        "ce_replay": str(letter.replay),
        "group": letter.group,
        "reason": letter.reason,
        "error": letter.error,
        "original-topic": letter.original_topic,
        "original-partition": str(letter.original_partition),
        "original-offset": str(letter.original_offset),
    }
    facts = [
        *zip(_COLUMNS, _row(found.stored), strict=True),
        ("error", letter.error),
        ("size", _size(found.stored)),
        ("frame at", f"{letter.original_topic}-{letter.original_partition} offset {letter.original_offset}"),
        ("replays before", letter.replay),
        *((f"header {name}", text) for name, text in headers_of(found) if shown.get(name) != text),
    ]
    print_table("", ("what", "value"), facts)
    if found.others:
        others = ", ".join(map(str, found.others))
        print(f"older dead letters of this frame, by this group or others: {others}")


def headers_of(found: "WholeDeadLetter") -> list[tuple[str, str]]:
    """Return the headers as text, bytes that are no UTF-8 escaped."""
    return [(name, (value or b"").decode(errors="backslashreplace")) for name, value in found.record.headers]
