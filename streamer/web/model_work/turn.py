"""One thing at a time on a page."""

from nicegui.binding import BindableProperty


class Turn:
    """Whether something works for a page. Nothing else begins meanwhile, and nothing that it works on goes.

    Attributes:
        is_taken: Elements of the page may be bound to it.
    """

    is_taken = BindableProperty()

    def __init__(self) -> None:
        """Begin with nothing to do."""
        self.is_taken = False
