"""One thing at a time on a page about models: what comes meanwhile is refused, and what is left ends."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nicegui import Client, core, ui
from nicegui.events import GenericEventArguments
from nicegui.page import page

from streamer.web.model_work.job import JobLimits, Workbench
from streamer.web.model_work.kinds import models
from streamer.web.model_work.turn import Turn
from streamer.web.model_work.upload_field import UploadField
from streamer.web.model_work.uploads import Upload, Uploads
from streamer.web.model_work.work_view import WorkView
from tests.fakes.waiting import wait_until

KIND = models(4096, with_torch=True)
LIMITS = JobLimits(timeout_s=60, memory_bytes=4 * 1024**3, file_bytes=1024**3)


class Page:
    """One that takes a file, and looks at something that never comes until it is told to end."""

    def __init__(self, client: Client, pipe: Path) -> None:
        self.client = client
        self.uploads = Uploads([KIND])
        self.bench = Workbench(LIMITS)
        self.turn = Turn()
        self.pipe = pipe
        self.given: list[Upload] = []
        with client, ui.element("div") as self.box:
            self.field = UploadField(self.uploads, self.turn, KIND, "Model", self._work)
            self.view, self.other = (WorkView(self.bench, self.turn) for _ in range(2))

    async def _work(self, upload: Upload) -> None:
        self.given.append(upload)
        await self.work(self.view)

    async def work(self, view: WorkView) -> dict[str, Any] | None:
        """Look at the pipe."""
        return await view.run("looking", "check", path=str(self.pipe), name="a.onnx", suffix=".onnx")

    def send(self) -> Upload:
        """Put a file where the field takes it, under its folder's name."""
        folder = self.uploads._root / str(len(list(self.uploads._root.iterdir())))
        folder.mkdir()
        upload = Upload(folder, folder / "file", "a.onnx", ".onnx", 1)
        upload.path.write_bytes(b"\x08")
        self.uploads._waiting[folder.name] = upload
        return upload

    async def take(self, upload: Upload) -> None:
        """Tell the field that a file is here, as the browser does."""
        await self.field._take(GenericEventArguments(sender=self.field, client=self.client, args=upload.folder.name))

    def said(self) -> str:
        """Return what the browser is told."""
        return str([message[2] for message in self.client.outbox.messages])

    def shows(self, view: WorkView) -> str:
        """Return what a view says."""
        return "".join(str(each.text) for each in view._said.descendants() if hasattr(each, "text"))


@asynccontextmanager
async def opened(pipe: Path) -> AsyncIterator[Page]:
    core.loop = asyncio.get_running_loop()
    here = Page(Client(page("/")), pipe)
    try:
        yield here
    finally:
        here.bench.close()
        if not here.client.is_deleted:
            here.client.delete()
        here.uploads.close()
        core.loop = None


async def until(is_true: Callable[[], bool], what: str) -> None:
    """Wait for something as the loop goes on."""
    await asyncio.to_thread(wait_until, is_true, what)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A file that whoever opens it waits at for ever."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def test_a_file_that_comes_during_a_job_leaves_the_one_that_it_works_on(pipe: Path) -> None:
    async def run() -> None:
        async with opened(pipe) as here:
            first, second, third = (here.send() for _ in range(3))
            working = asyncio.create_task(here.take(first))
            await until(lambda: here.turn.is_taken, "it works")
            assert here.field.props["is_held"]
            await here.take(second)
            assert (first.path.exists(), second.folder.exists()) == (True, False)
            assert here.given == [first]
            await until(lambda: "works on something else" in here.said(), "the browser is told")
            here.view._stop()
            await working
            assert not here.field.props["is_held"]
            working = asyncio.create_task(here.take(third))
            await until(lambda: here.turn.is_taken, "it works again")
            assert (first.folder.exists(), third.path.exists()) == (False, True)
            here.view._stop()
            await working

    asyncio.run(run())


def test_another_view_of_the_page_waits_for_the_turn(pipe: Path) -> None:
    async def run() -> None:
        async with opened(pipe) as here:
            working = asyncio.create_task(here.work(here.view))
            await until(lambda: here.turn.is_taken, "it works")
            assert await here.work(here.other) is None
            assert here.shows(here.other).startswith("One thing at a time")
            assert not here.other._cancel.visible
            assert len(here.bench._jobs) == 1
            here.view._stop()
            await working
            assert here.other.may_begin()

    asyncio.run(run())


@pytest.mark.parametrize("is_whole_page", [True, False])
def test_no_job_outlives_its_view_or_begins_after_it(pipe: Path, *, is_whole_page: bool) -> None:
    async def run() -> None:
        async with opened(pipe) as here:
            upload = here.send()
            working = asyncio.create_task(here.take(upload))
            await until(lambda: here.turn.is_taken, "it works")
            (job,) = here.bench._jobs
            if is_whole_page:
                here.client.delete()
            else:
                here.box.delete()
            await working
            assert job.is_done
            assert not upload.folder.exists()
            assert await here.work(here.view) is None
            assert here.bench._jobs == [job]

    asyncio.run(run())
