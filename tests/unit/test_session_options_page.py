"""docs/session-options.md says what the code does."""

from engine.backends.registry import backend_class, backend_names
from engine.options import SessionOptions
from tools.make_session_options import PATH, page


def test_the_page_is_what_the_code_says() -> None:
    assert PATH.read_text(encoding="utf-8") == page(), "run `python tools/make_session_options.py`"


def test_back_ends_speak_of_keywords_that_there_are() -> None:
    for name in backend_names():
        backend = backend_class(name)
        assert backend.uses | set(backend.refuses) <= set(SessionOptions.model_fields), name
        assert not backend.uses & set(backend.refuses), name
        assert not set(backend.Own.model_fields) & set(SessionOptions.model_fields), name
        assert all(info.description for info in backend.Own.model_fields.values()), name
