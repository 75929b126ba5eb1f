"""Records that stand in for those that could not be read (see `messaging.record_reading`)."""

#: The one header of such a record; its value is one line that says why.
UNREAD_HEADER = "unread"


class UnreadHeaders(list[tuple[str, bytes]]):
    """The headers of a record that stands in. Their type tells: any producer may send the name, and none the type."""

    def __init__(self, why: str) -> None:
        """Say why, in one line."""
        self.why = " ".join(why.split())
        super().__init__([(UNREAD_HEADER, self.why.encode(errors="replace"))])
