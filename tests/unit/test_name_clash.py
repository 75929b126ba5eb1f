"""Our packages have everyday names; a user's own file of that name is said to be in the way."""

from pathlib import Path

import pytest

from tests.fakes.programs import ROOT, environ, python


@pytest.mark.parametrize("name", ["engine", "config", "messaging", "producers", "consumers"])
def test_a_module_of_the_users_is_named_in_one_line(name: str, tmp_path: Path) -> None:
    mine = tmp_path / f"{name}.py"
    mine.write_text("x = 1\n")
    done = python(["-m", "streamer", "--help"], cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"streamer: streamer needs its own package `{name}`, but Python finds {mine}: rename that file or folder, "
        "or run streamer from another directory\n"
    )


def test_a_package_of_the_users_is_named(tmp_path: Path) -> None:
    package = tmp_path / "config"
    package.mkdir()
    (package / "__init__.py").write_text("")
    done = python(["-m", "streamer", "--help"], cwd=tmp_path)
    assert done.returncode == 2
    assert f"Python finds {package / '__init__.py'}" in done.stderr


def test_debug_shows_where(tmp_path: Path) -> None:
    (tmp_path / "engine.py").write_text("")
    done = python(["-m", "streamer", "--debug"], cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert str(tmp_path / "engine.py") in done.stderr


def test_a_program_that_imports_streamer_gets_an_exception(tmp_path: Path) -> None:
    (tmp_path / "engine.py").write_text("")
    program = tmp_path / "program.py"
    program.write_text("try:\n    import streamer\nexcept ImportError as exc:\n    print('caught', exc)\n")
    done = python([str(program)], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "engine.py") in done.stdout


def test_a_package_that_was_imported_before_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "engine.py").write_text("")
    code = f"import sys, engine; sys.path.insert(0, {str(ROOT)!r})\nimport streamer"
    done = python(["-c", code], cwd=tmp_path)
    assert done.returncode == 1
    assert f"Python finds {tmp_path / 'engine.py'}" in done.stderr


def test_a_folder_without_a_module_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "site.toml").write_text("")
    assert python(["-m", "streamer", "--version"], cwd=tmp_path, env=environ()).returncode == 0
