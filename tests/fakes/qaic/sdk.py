"""An SDK-shaped tree with the stand-ins of the vendor's tools and modules. It is not the vendor's software."""

import importlib
import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from engine.backends.qaic.sdk import Sdk
from engine.backends.qaic.vendor import MESSAGES, RUNTIME
from tests.fakes.qaic.machine import Card, forget, write_cards

_HERE = Path(__file__).parent
_REPOSITORY = _HERE.parents[2]
_SCRIPT = """#!{python}
'''A stand-in of {name}. It is not the vendor's software.'''
import sys
from pathlib import Path
sys.path.insert(0, {repository!r})
from tests.fakes.qaic.{module} import main
main(Path({root!r}), {name!r}, sys.argv[1:])
"""


def install_sdk(
    root: Path,
    cards: Sequence[Card] = (Card(0),),
    compilers: Sequence[str] = ("qaic-compile",),
    *,
    runtime: bool = True,
) -> Sdk:
    """Make the tree, as the Apps and Platform SDKs do below /opt/qti-aic.

    Args:
        root: Its folder; it need not exist.
        cards: The cards of the machine.
        compilers: Those that are installed: `qaic-compile`, `qaic-exec`.
        runtime: Whether the Python modules are there.
    """
    (root / "versions").mkdir(parents=True)
    (root / "versions" / "apps.xml").write_text(
        "<versions><ci_build>a stand-in</ci_build></versions>", encoding="utf-8"
    )
    write_cards(root, cards)
    for folder, name, module in (
        *(("exec", compiler, "compiler") for compiler in compilers),
        ("tools", "qaic-util", "utility"),
    ):
        path = root / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            _SCRIPT.format(
                python=sys.executable, name=name, module=module, root=str(root), repository=str(_REPOSITORY)
            ),
            encoding="utf-8",
        )
        path.chmod(0o755)
    if runtime:
        for place, name in ((f"lib/{platform.machine()}", "qaicrt.py"), ("python", "QAicApi_pb2.py")):
            (root / "dev" / place).mkdir(parents=True)
            shutil.copyfile(_HERE / name, root / "dev" / place / name)
    return Sdk(root)


@contextmanager
def installed(
    root: Path, cards: Sequence[Card] = (Card(0),), compilers: Sequence[str] = ("qaic-compile",)
) -> Iterator[Sdk]:
    """Have a tree, whose modules Python forgets in the end: each tree has cards of its own."""
    with nothing_installed():
        try:
            yield install_sdk(root, cards, compilers)
        finally:
            forget(root)


@contextmanager
def nothing_installed() -> Iterator[None]:
    """Have Python know nothing of any tree's modules, and find none, unless somebody adds a folder."""
    names = (RUNTIME, MESSAGES)
    path = list(sys.path)
    kept = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    sys.path[:] = [entry for entry in path if not any((Path(entry) / f"{name}.py").exists() for name in names)]
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = path
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(kept)
        importlib.invalidate_caches()
