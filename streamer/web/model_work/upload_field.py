"""The field by which a page takes a file."""

from collections.abc import Awaitable, Callable

from nicegui import binding
from nicegui.element import Element
from nicegui.events import GenericEventArguments

from streamer.web.model_work.kinds import Kind, too_large
from streamer.web.model_work.turn import Turn
from streamer.web.model_work.uploads import Upload, Uploads


class UploadField(Element, component="upload_field.js"):
    """Sends a file past NiceGUI's messages; it keeps the last one, and forgets it when it is deleted."""

    is_held = binding.BindableProperty(on_change=lambda field, is_held: field.show_held(is_held))

    def __init__(
        self, uploads: Uploads, turn: Turn, kind: Kind, label: str, on_upload: Callable[[Upload], Awaitable[None]]
    ) -> None:
        """Make the element.

        Args:
            uploads: Takes the file.
            turn: The page's: while it is taken, no other file takes the last one's place.
            kind: What is asked for.
            label: What it is for, for those who hear it.
            on_upload: Called with each file that came.
        """
        super().__init__()
        self._uploads = uploads
        self._turn = turn
        self._on_upload = on_upload
        self._upload: Upload | None = None
        self.props["path"] = kind.path
        self.props["accept"] = ",".join(kind.suffixes)
        self.props["label"] = label
        self.props["max_bytes"] = kind.max_bytes
        self.props["too_large"] = str(too_large(kind))
        self.is_held = False
        binding.bind_from(self, "is_held", turn, "is_taken")
        self.on("uploaded", self._take)

    def show_held(self, is_held: bool) -> None:
        """Show whether a file can be chosen."""
        self.props["is_held"] = is_held

    async def _take(self, event: GenericEventArguments) -> None:
        upload = self._uploads.take(str(event.args))
        if upload is None:
            return
        if self._turn.is_taken:  # since it was chosen
            upload.forget()
            self.run_method("refuse", "this page works on something else by now: wait for it, and send the file again")
            return
        self._forget()
        self._upload = upload
        await self._on_upload(upload)

    def _forget(self) -> None:
        if self._upload is not None:
            self._upload.forget()
            self._upload = None

    def _handle_delete(self) -> None:
        """Let go: the page is left, or shows something else."""
        self._forget()
        super()._handle_delete()
