"""The field by which a page takes a file."""

from collections.abc import Awaitable, Callable

from nicegui import ui
from nicegui.element import Element
from nicegui.events import GenericEventArguments

from streamer.web.model_work.kinds import Kind, too_large
from streamer.web.model_work.uploads import Upload, Uploads


class UploadField(Element, component="upload_field.js"):
    """Sends a file past NiceGUI's messages; the page keeps the last one, and forgets it when it is left."""

    def __init__(
        self, uploads: Uploads, kind: Kind, label: str, on_upload: Callable[[Upload], Awaitable[None]]
    ) -> None:
        """Make the element.

        Args:
            uploads: Takes the file.
            kind: What is asked for.
            label: What it is for, for those who hear it.
            on_upload: Called with each file that came.
        """
        super().__init__()
        self._uploads = uploads
        self._on_upload = on_upload
        self._upload: Upload | None = None
        self.props["path"] = kind.path
        self.props["accept"] = ",".join(kind.suffixes)
        self.props["label"] = label
        self.props["max_bytes"] = kind.max_bytes
        self.props["too_large"] = str(too_large(kind))
        self.on("uploaded", self._take)
        ui.context.client.on_delete(self._forget)

    async def _take(self, event: GenericEventArguments) -> None:
        upload = self._uploads.take(str(event.args))
        if upload is None:
            return
        self._forget()
        self._upload = upload
        await self._on_upload(upload)

    def _forget(self) -> None:
        if self._upload is not None:
            self._upload.forget()
            self._upload = None
