"""A stand-in of Qualcomm AI Hub, not the hub: its API on 127.0.0.1, as far as its own Python client uses it here.

It takes users, devices, models, data sets, compile and inference jobs, each addressed, encoded and answered as the
client expects, with uploads and downloads at signed addresses. "Compiling" keeps the ONNX model and gives it the sizes
of the job; inference is ONNX Runtime's, so its answers are right. Scripts say what goes wrong: see `JobScript` and
`HubServer.refuse`. What it does not know is answered with 404, and listed in `unknown`.
"""

import atexit
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from qai_hub import Client, ClientConfig
from qai_hub import public_api_pb2 as api
from requests_toolbelt import MultipartDecoder  # type: ignore[import-untyped]

from engine.backends.base import Backend
from engine.backends.qai_hub import QaiHubBackend
from tests.fakes.hub_state import DEVICES, Asset, HubState, Kind, Scripts

TOKEN = "t0ken-of-the-stand-in"
SIGNATURE = "s1gnature-of-an-address"
#: Models are uploaded in parts of so many bytes.
PART_BYTES = 4096


class HubServer:
    """The running stand-in.

    Attributes:
        url: `http://127.0.0.1:port`.
        state: What it knows.
        seen: Each request, as `METHOD /path`, in order.
        unknown: Those that it could not answer.
    """

    def __init__(self) -> None:
        self.state = HubState()
        self.seen: list[str] = []
        self.unknown: list[str] = []
        self._refusals: list[tuple[re.Pattern[str], int, str]] = []
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="hub", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def script(self, kind: Kind, script: Scripts) -> None:
        """Say what becomes of the jobs that are created from now on; it may depend on their model."""
        self.state.scripts[kind] = script

    def refuse(self, request: str, status: int, times: int = 1, text: str = '{"detail": "not now"}') -> None:
        """Answer the next requests that match `METHOD /path`, a pattern, with a status, and do nothing."""
        self._refusals += [(re.compile(request), status, text)] * times

    def refusal(self, request: str) -> tuple[int, str] | None:
        with self.state.lock:
            for refusal in self._refusals:
                if refusal[0].search(request):
                    self._refusals.remove(refusal)
                    return refusal[1:]
        return None

    def connect(self, _: str | None = None, token: str = TOKEN) -> Any:
        """Make the hub's own client, for this server; what `QaiHubBackend` connects with."""
        return Client(ClientConfig(api_url=self.url, web_url=self.url, api_token=token))

    def save_profile(self, path: Path, token: str = TOKEN) -> Path:
        """Write what `qai-hub configure` writes, for this server."""
        path.write_text(f"[api]\napi_url = {self.url}\nweb_url = {self.url}\napi_token = {token}\n", "utf-8")
        return path

    def address(self, path: str) -> str:
        """Sign an address."""
        return f"{self.url}/assets/{path}?signature={SIGNATURE}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that break a connection off."""


class _Handler(BaseHTTPRequestHandler):
    hub: ClassVar[HubServer]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.close_connection = True  # the client opens one for each call
        split = urlsplit(self.path)
        self.query = {name: values[-1] for name, values in parse_qs(split.query).items()}
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = f"{self.command} {split.path}"
        with self.hub.state.lock:
            self.hub.seen.append(request)
            if refusal := self.hub.refusal(request):
                self.answer(refusal[1].encode(), refusal[0], "text/plain")
                return
            if not split.path.startswith("/assets/") and self.headers["Authorization"] != f"token {TOKEN}":
                self.answer(b"", 401, "text/plain")
                return
            for pattern, respond in _ROUTES.items():
                if match := re.fullmatch(pattern, request):
                    respond(self, *match.groups())
                    return
            self.hub.unknown.append(request)
            self.show_none()

    do_POST = do_GET  # noqa: N815 - http.server's names
    do_PUT = do_GET  # noqa: N815 - the same
    do_PATCH = do_GET  # noqa: N815 - the same
    do_DELETE = do_GET  # noqa: N815 - the same

    def log_message(self, *_: object) -> None:
        return

    def show_none(self) -> None:
        self.answer(b'{"detail": "there is no such thing"}', 404, "text/plain")

    def show_user(self) -> None:
        self.give(api.User(id=1, first_name="Stand", last_name="In", email="stand-in@example.org"))

    def show_devices(self) -> None:
        name, wanted = self.query.get("name", ""), set(parse_qs(urlsplit(self.path).query).get("attributes", []))
        found = [
            api.Device(name=device, os=system, attributes=attributes)
            for device, system, attributes in DEVICES
            if name in ("", device) and wanted <= set(attributes) and self.query.get("os", "") in ("", system)
        ]
        found = found[-1:] if self.query.get("select") == "True" else found
        self.give(api.DeviceList(devices=found, total_query_count=len(found)))

    def create_model(self) -> None:
        self.created(self.hub.state.add_model(api.Model.FromString(self.body)).message.model_id)

    def show_model(self, model_id: str) -> None:
        model = self.hub.state.models.get(model_id)
        self.give(model.message) if model else self.show_none()

    def list_models(self) -> None:
        models = [model.message for model in self.hub.state.models.values()]
        self.give(api.ModelList(models=self.page(models), total_query_count=len(models)))

    def begin_model(self, model_id: str) -> None:
        parts = max(1, -(-int(self.query["file_size"]) // PART_BYTES))
        urls = [self.hub.address(f"models/{model_id}/{part}") for part in range(parts)]
        multipart = api.FileMultipartUploadURL(urls=urls, upload_id=secrets.token_hex(4), max_part_size=PART_BYTES)
        self.give(api.FileUploadResponse(multipart_url=multipart))

    def finish_model(self, model_id: str) -> None:
        etags = list(api.FileMultipartUploadComplete.FromString(self.body).etags)
        model = self.hub.state.models[model_id]
        if etags != [f"etag-{part}" for part in sorted(model.asset.parts)]:
            self.answer(b'{"detail": "parts are missing"}', 400, "text/plain")
            return
        model.message.file_upload_complete = True
        if model.message.model_type == api.ModelType.MODEL_TYPE_ONNX:
            self.hub.state.tell_inputs(model)
        self.created(model_id)

    def download_model(self, model_id: str) -> None:
        self.give_download(f"models/{model_id}", f"{model_id}.onnx")

    def create_dataset(self) -> None:
        message = api.Dataset.FromString(self.body)
        self.hub.state.add_dataset(message)
        self.created(message.dataset_id)

    def show_dataset(self, dataset_id: str) -> None:
        found = self.hub.state.datasets.get(dataset_id)
        self.give(found[0]) if found else self.show_none()

    def list_datasets(self) -> None:
        messages = [message for message, _ in self.hub.state.datasets.values()]
        self.give(api.DatasetList(datasets=messages, total_query_count=len(messages)))

    def begin_dataset(self, dataset_id: str) -> None:
        url = api.FileUploadURL(url=self.hub.address(f"datasets/{dataset_id}"), file_field_name="file")
        url.fields["key"] = dataset_id
        self.give(api.FileUploadResponse(url=url))

    def finish_dataset(self, dataset_id: str) -> None:
        self.hub.state.datasets[dataset_id][0].file_upload_complete = True
        self.created(dataset_id)

    def download_dataset(self, dataset_id: str) -> None:
        self.give_download(f"datasets/{dataset_id}", f"{dataset_id}.h5")

    def create_job(self) -> None:
        self.created(self.hub.state.add_job(api.Job.FromString(self.body)))

    def show_job(self, job_id: str) -> None:
        job = self.hub.state.jobs.get(job_id)
        if job is None or job.is_gone:
            self.show_none()
            return
        job.look()
        self.give(job.message)

    def list_jobs(self) -> None:
        jobs = [job.message for job in self.hub.state.jobs.values()]
        self.give(api.JobList(jobs=jobs, total_query_count=len(jobs)))

    def list_summaries(self) -> None:
        wanted = self.query.get("type")
        jobs = [job.summary for job in self.hub.state.jobs.values() if wanted in (None, job.kind) and not job.is_gone]
        self.give(api.JobSummaryList(job_summaries=self.page(jobs), total_query_count=len(jobs)))

    def page(self, oldest_first: list[Any]) -> list[Any]:
        """Cut out what is asked for; the newest come first."""
        offset, limit = int(self.query.get("offset", 0)), int(self.query.get("limit", 50))
        return oldest_first[::-1][offset : offset + limit]

    def show_result(self, job_id: str) -> None:
        output = self.hub.state.outputs.get(job_id, "")
        result = api.InferenceJobResult(inference_job_id=job_id, output_dataset_id=output)
        self.give(api.JobResult(inference_job_result=result))

    def store_part(self, model_id: str, part: str) -> None:
        self.hub.state.models[model_id].asset.parts[int(part)] = self.body
        self.answer(b"", headers={"ETag": f"etag-{part}"})

    def store_dataset(self, dataset_id: str) -> None:
        form = MultipartDecoder(self.body, self.headers["Content-Type"]).parts
        (file,) = [part for part in form if b'name="file"' in part.headers[b"Content-Disposition"]]
        self.hub.state.datasets[dataset_id][1].parts[0] = file.content
        self.answer(b"", 204)

    def fetch_model(self, model_id: str) -> None:
        self.give_asset(self.hub.state.models[model_id].asset)

    def fetch_dataset(self, dataset_id: str) -> None:
        self.give_asset(self.hub.state.datasets[dataset_id][1])

    def give_asset(self, asset: Asset) -> None:
        is_signed = self.query.get("signature") == SIGNATURE
        self.answer(asset.content if is_signed else b"", 200 if is_signed else 403, "application/octet-stream")

    def give_download(self, path: str, filename: str) -> None:
        url = api.FileDownloadURL(url=self.hub.address(path), filename=filename)
        self.give(api.FileDownloadResponse(url=url))

    def created(self, new_id: str) -> None:
        response = api.CreateUpdateResponse(id=new_id)
        response.creation_time.GetCurrentTime()
        response.expiration_time.FromSeconds(response.creation_time.seconds + 30 * 24 * 3600)
        self.give(response)

    def give(self, message: Any) -> None:
        self.answer(message.SerializeToString(), 200, "application/x-protobuf")

    def answer(
        self,
        body: bytes,
        status: int = 200,
        content_type: str = "application/octet-stream",
        headers: dict[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:  # said, or the client's next request meets one that is being closed
            self.send_header("Connection", "close")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


_API, _ID = r"/api/v1/(?:projects/\w+/)?", r"(\w+)"
_ROUTES: dict[str, Callable[..., None]] = {
    rf"GET {_API}users/auth/user/": _Handler.show_user,
    rf"GET {_API}devices/": _Handler.show_devices,
    rf"POST {_API}models/": _Handler.create_model,
    rf"GET {_API}models/": _Handler.list_models,
    rf"GET {_API}models/{_ID}/": _Handler.show_model,
    rf"GET {_API}models/{_ID}/multipart_upload/": _Handler.begin_model,
    rf"POST {_API}models/{_ID}/multipart_upload/": _Handler.finish_model,
    rf"GET {_API}models/{_ID}/download/": _Handler.download_model,
    rf"POST {_API}datasets/": _Handler.create_dataset,
    rf"GET {_API}datasets/": _Handler.list_datasets,
    rf"GET {_API}datasets/{_ID}/": _Handler.show_dataset,
    rf"PATCH {_API}datasets/{_ID}/": _Handler.finish_dataset,
    rf"GET {_API}datasets/{_ID}/upload_url/": _Handler.begin_dataset,
    rf"GET {_API}datasets/{_ID}/download_data/": _Handler.download_dataset,
    rf"POST {_API}jobs/": _Handler.create_job,
    rf"GET {_API}jobs/": _Handler.list_jobs,
    rf"GET {_API}job_summaries/": _Handler.list_summaries,
    rf"GET {_API}jobs/{_ID}/": _Handler.show_job,
    rf"GET {_API}jobs/{_ID}/result/": _Handler.show_result,
    rf"PUT /assets/models/{_ID}/(\d+)": _Handler.store_part,
    rf"POST /assets/datasets/{_ID}": _Handler.store_dataset,
    rf"GET /assets/models/{_ID}": _Handler.fetch_model,
    rf"GET /assets/datasets/{_ID}": _Handler.fetch_dataset,
}


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """Run a stand-in."""
    hub = HubServer()
    hub.start()
    try:
        yield hub
    finally:
        hub.close()


@cache
def shared_hub() -> HubServer:
    """A stand-in for the whole run."""
    os.environ["NO_PROXY"] = "127.0.0.1"  # no proxy gets to see what is meant for it
    hub = HubServer()
    hub.start()
    atexit.register(hub.close)
    return hub


def make_hub_backend(_: int | None = None) -> Backend:
    """Make a back end that asks the stand-in of the whole run."""
    return QaiHubBackend(shared_hub().connect)
