"""`streamer models`: the store of models, which consumers follow by name."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING

from config.settings import ModelStoreSettings
from engine.models.files import TFLITE_HINT
from engine.models.store.names import COPIES
from streamer.cli.command import Call, Command
from streamer.cli.model_tools import add_json_flag
from streamer.terminal import harmless, print_json, print_table, working

if TYPE_CHECKING:
    from engine.models.store.records import StoredModel
    from engine.models.store.store import ModelStore


def _store(call: Call) -> "ModelStore":
    from streamer.model_store import model_store_of

    return model_store_of(call.loaded.settings)


def _list(call: Call) -> int:
    store = _store(call)
    models = store.models()
    if call.arguments.json:
        print_json({"directory": str(store.directory), "models": [stored.as_json() for stored in models]})
        return 0
    if not models:
        print(f"the model store {store.directory} has no models: `streamer models add FILE`", file=sys.stderr)
        return 0
    print_table(
        str(store.directory),
        ("model", "version", "current", "kind", "size, KiB", "added", "origin", "file"),
        [
            (
                stored.name,
                version.short_digest,
                "yes" if version.digest == stored.current.digest else "",
                version.suffix,
                f"{version.size_bytes / 1024:,.0f}",
                version.added_at,
                version.origin,
                version.original_name,
            )
            for stored in models
            for version in stored.versions
        ],
        unfolded=("version",),
    )
    return 0


def _add(call: Call) -> int:
    arguments = call.arguments
    with working(f"checking and copying {arguments.file}"):
        added = _store(call).add(arguments.file, arguments.name, origin=arguments.origin, use=arguments.use)
    stored, version = added.model, added.version
    is_current = stored.current == version
    then = "" if is_current else f": `streamer models use {stored.name} {version.short_digest}` makes it so"
    already = "" if added.is_new else "was there already, and "
    if arguments.name is None and stored.name in COPIES:
        print(f"it is called {stored.name}, for {COPIES[stored.name]} is the built-in model's name", file=sys.stderr)
    if version.suffix == ".tflite":
        print(f"no consumer runs a TFLite model: {TFLITE_HINT}", file=sys.stderr)
    return _tell(
        call,
        stored,
        f"version {version.short_digest} {already}is {'the' if is_current else 'not the'} current one{then}",
    )


def _use(call: Call) -> int:
    stored = _store(call).use(call.arguments.name, call.arguments.digest)
    return _tell(call, stored, f"version {stored.current.short_digest} is the current one")


def _rename(call: Call) -> int:
    stored = _store(call).rename(call.arguments.name, call.arguments.new)
    return _tell(call, stored, f"was {call.arguments.name}")


def _delete(call: Call) -> int:
    name, digest = call.arguments.name, call.arguments.digest
    store = _store(call)
    count = store.delete(name, digest)
    if call.arguments.json:
        print_json({"deleted": name, "digest": digest})
    else:
        versions = "1 version" if count == 1 else f"all {count} versions"
        print(f"model {harmless(name)}: {versions if digest is None else f'version {harmless(digest)}'} deleted")
    return 0


def _history(call: Call) -> int:
    stored = _store(call).get(call.arguments.name)
    if call.arguments.json:
        print_json({"name": stored.name, "history": [entry.as_json() for entry in stored.history]})
        return 0
    rows = [(entry.at, entry.action, entry.digest[:12], entry.detail) for entry in stored.history]
    print_table(stored.name, ("when", "what", "version", "detail"), rows, unfolded=("version",))
    return 0


def _tell(call: Call, stored: "StoredModel", what: str) -> int:
    if call.arguments.json:
        print_json(stored.as_json())
    else:
        print(f"model {stored.name}: {what}")
    return 0


def _model_flags(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the model, as `streamer models list` names it")
    add_json_flag(parser)


def _add_flags(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="an .onnx, an .npz, a QPC (.bin) or a .tflite")
    parser.add_argument("--name", help="the model that it is a version of (default: made of the file's name)")
    parser.add_argument("--use", action="store_true", help="make it the current version")
    parser.add_argument("--origin", default="streamer models add", help="where it comes from, in a line")
    add_json_flag(parser)


def _use_flags(parser: ArgumentParser) -> None:
    _model_flags(parser)
    parser.add_argument("digest", metavar="VERSION", help="the version's digest, or its first letters (6 or more)")


def _rename_flags(parser: ArgumentParser) -> None:
    _model_flags(parser)
    parser.add_argument("new", metavar="NEW", help="its new name: a-z, 0-9, '.', '_' and '-'")


def _delete_flags(parser: ArgumentParser) -> None:
    _model_flags(parser)
    parser.add_argument(
        "digest", metavar="VERSION", nargs="?", help="one version, by its digest's first letters (default: all of them)"
    )


_SETTINGS: tuple[tuple[type[ModelStoreSettings], str], ...] = ((ModelStoreSettings, ""),)

COMMAND = Command(
    help="The models of the store: each has a name, versions, and one of them that is current.\n"
    "A consumer with `--model NAME` takes what is made current without a restart.",
    subcommands={
        "list": Command(
            help="List the models with their versions.",
            run=_list,
            settings=_SETTINGS,
            add_arguments=add_json_flag,
            examples="streamer models list\nstreamer models list --json",
        ),
        "add": Command(
            help="Copy a model's file into the store, as a version of a name. No consumer runs a .tflite.\n\n"
            "The first version of a name is its current one; later ones are made current by `use`, or by --use.",
            run=_add,
            settings=_SETTINGS,
            add_arguments=_add_flags,
            examples="streamer models add bottles.onnx\nstreamer models add run-17.onnx --name bottles --use",
        ),
        "use": Command(
            help="Make a version the current one; consumers that follow the name take it between two batches.",
            run=_use,
            settings=_SETTINGS,
            add_arguments=_use_flags,
            examples="streamer models use bottles 3f9a1c",
        ),
        "rename": Command(
            help="Give a model another name; consumers that follow the old one stay with what they run.",
            run=_rename,
            settings=_SETTINGS,
            add_arguments=_rename_flags,
            examples="streamer models rename bottles bottles-line-2",
        ),
        "delete": Command(
            help="Delete a model with all its versions, or one version that is not the current one.",
            run=_delete,
            settings=_SETTINGS,
            add_arguments=_delete_flags,
            examples="streamer models delete bottles 3f9a1c\nstreamer models delete bottles",
        ),
        "history": Command(
            help="Show what was done to a model, the newest first.",
            run=_history,
            settings=_SETTINGS,
            add_arguments=_model_flags,
            examples="streamer models history bottles",
        ),
    },
)
