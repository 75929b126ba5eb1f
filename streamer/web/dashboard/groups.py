"""Choosing the consumer group that a page is about, where there are several."""

from nicegui import ui

from streamer.watch.site import Site


class GroupChoice:
    """A choice of one group; it hides while there is nothing to choose from."""

    def __init__(self, site: Site) -> None:
        """Draw it."""
        self._site = site
        self._select = ui.select([], label="Group")
        self._select.props("dense outlined options-dense")
        self.refresh()

    def refresh(self) -> str | None:
        """Offer the groups that there are now, and return the chosen one; None where there is none."""
        groups = list(self._site.groups())
        if groups != self._select.options:
            chosen = self._select.value if self._select.value in groups else next(iter(groups), None)
            self._select.set_options(groups, value=chosen)
            self._select.set_visibility(len(groups) > 1)
        value: str | None = self._select.value
        return value
