"""`streamer web`: models in the browser."""

import sys
from typing import TYPE_CHECKING

from config.settings import ConverterSettings, ManagerSettings, ModelPageSettings, ModelStoreSettings
from streamer.cli.command import Call, Command
from streamer.cli.page_flags import add_page_flags

if TYPE_CHECKING:
    from streamer.web.converter.app import Converter
    from streamer.web.manager.app import Manager

_CHECK_INTERVAL_S = 0.5


def _converter(call: Call) -> int:
    from streamer.model_store import model_store_of
    from streamer.web.extra import check_extra

    check_extra()
    from streamer.web.converter.app import Converter

    settings = call.loaded.settings
    return _serve(call, "converter", settings.converter, Converter(settings.converter, model_store_of(settings)))


def _manager(call: Call) -> int:
    from streamer.model_store import model_store_of
    from streamer.web.extra import check_extra

    check_extra()
    from streamer.web.manager.app import Manager

    settings = call.loaded.settings
    return _serve(call, "manager", settings.manager, Manager(settings.manager, model_store_of(settings)))


def _serve(call: Call, name: str, settings: ModelPageSettings, pages: "Converter | Manager") -> int:
    """Serve pages until a signal ends it; return the exit code."""
    from streamer.stopping import stop_on_signals
    from streamer.terminal import print_json
    from streamer.web.errors import WebFailedError
    from streamer.web.opening import address_line, server_of

    stop = stop_on_signals()
    try:
        server = server_of(settings, name, pages.file_paths)
        pages.add_to(server.app)
        with server:
            if call.arguments.json:
                print_json({"address": server.address})
            else:
                print(address_line(name, server.address, settings), file=sys.stderr, flush=True)
            if call.arguments.open:
                import webbrowser

                webbrowser.open(server.address)
            while not stop.wait(_CHECK_INTERVAL_S):
                if not server.is_running():
                    raise WebFailedError(f"the server at {server.address} ended by itself")
    finally:
        pages.close()
    return 0


_EXTRA = "It needs the extra `dashboard`: pip install 'aic-streamer[dashboard]'."

COMMAND = Command(
    help="Pages about models in the browser.",
    subcommands={
        "converter": Command(
            help="Convert models in the browser: ONNX, TFLite and torch to ONNX and tinygrad, optimised, in int8.\n\n"
            "Each conversion runs in a process of its own, bounded in time and memory; it is checked by running both\n"
            f"models. {_EXTRA}",
            run=_converter,
            settings=((ConverterSettings, "converter"), (ModelStoreSettings, "")),
            add_arguments=add_page_flags,
            examples="streamer web converter --open\n"
            "streamer web converter --port 9000 --max-upload-bytes 2GiB --job-timeout 30m\n"
            "STREAMER_CONVERTER_TOKEN=… streamer web converter --host 0.0.0.0 --allowed-host line.example",
        ),
        "manager": Command(
            help="Manage the store of models in the browser, and make a version the one that consumers use.\n\n"
            "Models are uploaded, downloaded, renamed, deleted, drawn, analysed, compared, and tried on a picture.\n"
            f"{_EXTRA}",
            run=_manager,
            settings=((ManagerSettings, "manager"), (ModelStoreSettings, "")),
            add_arguments=add_page_flags,
            examples="streamer web manager --open\n"
            "STREAMER_MANAGER_TOKEN=… streamer web manager --host 0.0.0.0 --allowed-host line.example",
        ),
    },
)
