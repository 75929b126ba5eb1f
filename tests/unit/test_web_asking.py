"""Asking what takes its time from a page."""

import asyncio
from threading import Event, get_ident

import pytest

from streamer.web.asking import BusyError, Desk


def test_a_question_is_asked_on_another_thread() -> None:
    desk = Desk()
    assert asyncio.run(desk.ask(get_ident)) != get_ident()
    desk.close()


def test_what_the_question_raises_is_raised() -> None:
    def fail() -> None:
        raise LookupError("nothing there")

    desk = Desk()
    with pytest.raises(LookupError, match="nothing there"):
        asyncio.run(desk.ask(fail))
    desk.close()


def test_too_many_questions_are_refused_and_the_others_answered() -> None:
    async def run() -> list[object]:
        go = Event()
        questions = [asyncio.create_task(desk.ask(go.wait, 30.0)) for _ in range(25)]
        await asyncio.sleep(0)
        go.set()
        return await asyncio.gather(*questions, return_exceptions=True)

    desk = Desk()
    answers = asyncio.run(run())
    assert answers.count(True) == 20
    refused = [str(answer) for answer in answers if isinstance(answer, BusyError)]
    assert refused == ["too many pages ask at this moment: try again in a few seconds"] * 5
    assert asyncio.run(desk.ask(lambda: 1)) == 1
    desk.close()
