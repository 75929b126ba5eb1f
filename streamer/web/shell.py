"""What every page has around it: the navigation, the theme, and the word on what is wrong."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request, Response
from nicegui import Client, app, ui

from streamer.web import words
from streamer.web.parts import Prose, Text, empty

_STATIC = Path(__file__).parent / "static"
_STATIC_ADDRESS = "/static"
_THEME_COOKIE = "streamer-theme"
_THEMES = {"dark": True, "light": False}
_STATE_INTERVAL_S = 1.0
_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Place:
    """A page that the navigation leads to.

    Attributes:
        icon: A name of Material Icons, which NiceGUI brings along.
        hint: What is there, in a few words, under the page's title.
    """

    path: str
    title: str
    icon: str
    hint: str = ""


class Shell:
    """Draws pages of one look. Their text is set as text, never as markup."""

    def __init__(self, name: str, places: Sequence[Place], find_problem: Callable[[], str]) -> None:
        """Remember what pages there are.

        Args:
            name: Of the tool, beside the program's.
            places: For the navigation, in its order.
            find_problem: Says what is wrong at this moment, in one line; "" where nothing is. It must not block.
        """
        self._name = name
        self._places = tuple(places)
        self._find_problem = find_problem

    def serve_files(self) -> None:
        """Make styles and scripts part of every page, also of unknown addresses; once, before the server starts."""
        app.add_static_files(_STATIC_ADDRESS, _STATIC)
        ui.add_head_html(f'<link rel="stylesheet" href="{_STATIC_ADDRESS}/shell.css">', shared=True)
        ui.add_head_html(f'<script src="{_STATIC_ADDRESS}/shell.js" defer></script>', shared=True)
        ui.add_head_html('<meta name="robots" content="noindex">', shared=True)
        self._catch_unknown()

    def _catch_unknown(self) -> None:
        """Answer for addresses that are no page with a page that leads back."""
        usual = app.exception_handlers[_NOT_FOUND]

        @app.exception_handler(_NOT_FOUND)
        async def not_found(request: Request, error: Exception) -> Response:
            if request.scope.get("endpoint") not in (None, app):  # a part of a page, such as a script
                return await usual(request, error)  # type: ignore[misc, no-any-return]
            with Client(ui.page(""), request=request) as client, self.page(request, Place("", "No such page", "")):
                empty("explore_off", "Nothing is here", "The address may be mistyped, or from another version.")
                home = self._places[0]
                ui.link(f"Go to {home.title}", home.path).classes("cell-link")
            return client.build_response(request, _NOT_FOUND)

    @contextmanager
    def page(self, request: Request, here: Place, title: str = "") -> Iterator[None]:
        """Draw the frame of a page; what the block makes stands in its middle.

        Args:
            request: From the browser.
            here: The page.
            title: What the browser calls it, where that is not the page's own title.
        """
        ui.page_title(f"{title or here.title} · {self._name}")
        ui.dark_mode(value=_THEMES.get(request.cookies.get(_THEME_COOKIE, "")))
        ui.colors(primary="#4c6ef5")
        with ui.element("div").classes("shell"):
            with ui.element("nav").classes("shell-nav").props('aria-label="Pages"'):
                self._draw_navigation(here)
            with ui.element("main").classes("shell-main") as content:
                ui.skip_link("Skip to the content", target=content)
                self._draw_problem()
                with ui.element("header").classes("page-head"):
                    Text("h1", here.title).classes("page-title")
                    if here.hint:
                        Text("span", words.capitalised(here.hint)).classes("page-hint")
                yield

    def _draw_navigation(self, here: Place) -> None:
        with ui.element("div").classes("brand"):
            ui.element("span").classes("brand-mark").props('aria-hidden="true"')
            ui.label("streamer").classes("brand-name")
            ui.label(self._name).classes("brand-tool")
        with ui.element("div").classes("nav-links"):
            for place in self._places:
                is_here = place.path == here.path
                with ui.link(target=place.path).classes("nav-link" + (" is-here" if is_here else "")) as link:
                    ui.icon(f"o_{place.icon}").props('aria-hidden="true"')
                    ui.label(place.title)
                if is_here:
                    link.props('aria-current="page"')
        with ui.element("button").classes("theme-button").props('type=button data-theme-button title="Theme"'):
            ui.icon("o_contrast").props('aria-hidden="true"')
            ui.label("Theme: auto").classes("theme-name")

    def _draw_problem(self) -> None:
        """Draw the line that says what is wrong, and keep it true."""
        with ui.element("div").classes("problem").props('role="status" aria-live="polite"') as box:
            ui.icon("o_cloud_off").props('aria-hidden="true"')
            text = Prose("span")

        def look() -> None:
            problem = self._find_problem()
            box.set_visibility(bool(problem))
            text.show(problem)

        look()
        ui.timer(_STATE_INTERVAL_S, look)
