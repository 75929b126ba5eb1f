"""A camera on the web: snapshots and MJPEG on 127.0.0.1, with all that goes wrong there."""

import gzip
import hashlib
import secrets
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote
from urllib.request import parse_http_list, parse_keqv_list

USER, PASSWORD = "inspektor", "hun:ter2 @42"
REALM = "camera"


class WebCamera:
    """The running server.

    Attributes:
        url: `http://127.0.0.1:port`.
        image: What it shows, an image file.
        seen: Each request's path, with its `Authorization` header or None, in order.
        released: Set when waiting answers may end.
    """

    def __init__(self, image: bytes, certificate: Path | None = None) -> None:
        self.image = image
        self.seen: list[tuple[str, str | None]] = []
        self.released = threading.Event()
        self.elsewhere = ""
        self.nonce = ""
        self.last_count = 0
        handler = type("Handler", (_Handler,), {"camera": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="web camera")
        self.port = self._server.server_address[1]
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that break a connection off; the tests are there to see them do it."""


class _Handler(BaseHTTPRequestHandler):
    camera: ClassVar[WebCamera]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.close_connection = True
        self.camera.seen.append((self.path, self.headers["Authorization"]))
        path = self.path.partition("?")[0]
        name, _, argument = path.strip("/").partition("/")
        answer: Callable[[str], None] = getattr(
            self, f"show_{name.replace('.', '_').replace('-', '_')}", self.show_none
        )
        try:
            answer(argument)
        except (BrokenPipeError, ConnectionResetError):
            return  # the client has seen enough

    def log_message(self, *_: object) -> None:
        return

    def show_none(self, _: str) -> None:
        self.answer(b"none", "text/plain", status=404)

    def show_image_jpg(self, _: str) -> None:
        self.answer(self.camera.image, "image/jpeg")

    def show_mislabelled(self, _: str) -> None:
        self.answer(self.camera.image, "application/octet-stream")

    def show_text(self, _: str) -> None:
        self.answer(b"<html>log in</html>", "text/html")

    def show_lying(self, _: str) -> None:
        self.answer(b"<html>log in</html>", "image/jpeg")

    def show_short(self, _: str) -> None:
        self.answer(self.camera.image, "image/jpeg", claimed=len(self.camera.image) + 10)

    def show_chunked(self, _: str) -> None:
        self.begin("image/jpeg", {"Transfer-Encoding": "chunked"})
        for start in range(0, len(self.camera.image), 1000):
            piece = self.camera.image[start : start + 1000]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def show_basic(self, _: str) -> None:
        expected = "Basic " + b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers["Authorization"] == expected:
            self.show_image_jpg("")
        else:
            self.answer(b"", "text/plain", status=401, headers={"WWW-Authenticate": f'Basic realm="{REALM}"'})

    def show_digest(self, algorithm: str) -> None:
        given = _digest_given(self.headers["Authorization"])
        is_new = int(given.get("nc", "0"), 16) > self.camera.last_count
        if is_new and _is_digest_right(given, self.path, algorithm, self.camera.nonce):
            self.camera.last_count = int(given["nc"], 16)
            self.show_image_jpg("")
            return
        self.camera.nonce, self.camera.last_count = secrets.token_hex(8), 0
        challenge = f'Digest realm="{REALM}", nonce="{self.camera.nonce}", qop="auth,auth-int", algorithm={algorithm}'
        self.send_response(401)
        self.send_header("WWW-Authenticate", f'Basic realm="{REALM}"')
        self.send_header("WWW-Authenticate", challenge)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def show_guarded(self, challenge: str) -> None:
        """`/guarded/CHALLENGE`: refuses with that challenge, always, and says so without end."""
        self.begin("text/plain", {"WWW-Authenticate": unquote(challenge)}, status=401)
        while not self.camera.released.is_set():
            self.wfile.write(bytes(1 << 20))

    def show_loop(self, location: str) -> None:
        """`/loop/LOCATION`: a redirect there, and a body without end."""
        self.begin("text/plain", {"Location": unquote(location)}, status=302)
        while not self.camera.released.is_set():
            self.wfile.write(bytes(1 << 20))

    def show_odd_header(self, _: str) -> None:
        """A header that is none, before the image."""
        head = b"HTTP/1.1 200 OK\r\nthis is no header\r\nContent-Length: %d\r\n\r\n" % len(self.camera.image)
        self.wfile.write(head + self.camera.image)

    def show_bearer(self, _: str) -> None:
        self.answer(b"", "text/plain", status=401, headers={"WWW-Authenticate": "Bearer"})

    def show_redirect(self, count: str) -> None:
        left = int(count) - 1
        target = f"/redirect/{left}" if left else "/image.jpg"
        self.answer(b"", "text/plain", status=302, headers={"Location": target})

    def show_elsewhere(self, path: str) -> None:
        self.answer(b"", "text/plain", status=307, headers={"Location": f"{self.camera.elsewhere}/{path}"})

    def show_file_redirect(self, _: str) -> None:
        self.answer(b"", "text/plain", status=302, headers={"Location": "file:///etc/hostname"})

    def show_huge_header(self, _: str) -> None:
        """A header of one line without end."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Padding: ")
        self.flood(b"a" * (1 << 20))

    def show_many_headers(self, _: str) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        self.flood(b"X-Padding: a\r\n" * 10_000)

    def show_continue(self, _: str) -> None:
        """A server that is never ready to answer."""
        self.flood(b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000)

    def show_chunk_size(self, _: str) -> None:
        """A chunk whose size has no end."""
        self.begin("image/jpeg", {"Transfer-Encoding": "chunked"})
        self.flood(b"0" * (1 << 20))

    def show_trailers(self, _: str) -> None:
        """A body of one chunk, and trailers without end."""
        self.begin("image/jpeg", {"Transfer-Encoding": "chunked"})
        self.wfile.write(b"%x\r\n%s\r\n0\r\n" % (len(self.camera.image), self.camera.image))
        self.flood(b"X-Padding: a\r\n" * 10_000)

    def show_packed(self, _: str) -> None:
        """100 MiB of zeros, packed, though that was not asked for."""
        self.answer(gzip.compress(bytes(100 << 20)), "image/jpeg", headers={"Content-Encoding": "gzip"})

    def flood(self, piece: bytes) -> None:
        while not self.camera.released.is_set():
            self.wfile.write(piece)

    def show_silent(self, _: str) -> None:
        self.camera.released.wait(60)

    def show_drip(self, _: str) -> None:
        """A byte now and then: each read has something, and the whole never ends."""
        self.begin("image/jpeg", {"Content-Length": str(len(self.camera.image))})
        self.drip(self.camera.image)

    def show_drip_head(self, _: str) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        self.drip(b"X-Padding: " + b"a" * 60_000)

    def drip(self, data: bytes) -> None:
        for position in range(len(data)):
            self.wfile.write(data[position : position + 1])
            if self.camera.released.wait(0.02):
                return

    def show_endless(self, _: str) -> None:
        self.begin("image/jpeg", {})
        self.wfile.write(self.camera.image)
        while not self.camera.released.is_set():
            self.wfile.write(bytes(1 << 20))

    def show_mjpeg(self, count: str) -> None:
        """`/mjpeg/N`: N pictures, then the end; `/mjpeg/0`: no end."""
        self.begin("multipart/x-mixed-replace; boundary=frame", {})
        sent = 0
        while not (int(count) and sent >= int(count)):
            self.write_part()
            sent += 1
            if self.camera.released.wait(0.005):
                return

    def show_mjpeg_frozen(self, _: str) -> None:
        """Two pictures, then nothing."""
        self.begin("multipart/x-mixed-replace; boundary=frame", {})
        self.write_part()
        self.write_part()
        self.camera.released.wait(60)

    def show_mjpeg_cut(self, _: str) -> None:
        """One picture and half of the next."""
        self.begin("multipart/x-mixed-replace; boundary=frame", {})
        self.write_part()
        self.wfile.write(
            b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 100000\r\n\r\n" + self.camera.image[:200]
        )

    def show_mjpeg_endless(self, _: str) -> None:
        """One part that never ends."""
        self.begin("multipart/x-mixed-replace; boundary=frame", {})
        self.write_part()
        self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + self.camera.image[:200])
        while not self.camera.released.is_set():
            self.wfile.write(bytes(1 << 20))

    def show_video(self, _: str) -> None:
        self.answer(self.camera.image, "video/mp4")

    def show_playlist(self, _: str) -> None:
        text = f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{self.camera.url}/leak.ts\n#EXT-X-ENDLIST\n"
        self.answer(text.encode(), "video/mp2t")

    def write_part(self) -> None:
        image = self.camera.image
        self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(image))
        self.wfile.write(image + b"\r\n")

    def begin(self, content_type: str, headers: dict[str, str], status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def answer(
        self,
        body: bytes,
        content_type: str,
        *,
        status: int = 200,
        headers: dict[str, str] | None = None,
        claimed: int | None = None,
    ) -> None:
        length = {"Content-Length": str(len(body) if claimed is None else claimed)}
        self.begin(content_type, length | (headers or {}), status)
        self.wfile.write(body)


def _digest_given(header: str | None) -> dict[str, str]:
    if not header or not header.startswith("Digest "):
        return {}
    return parse_keqv_list(parse_http_list(header.removeprefix("Digest ")))


def _is_digest_right(given: dict[str, str], path: str, algorithm: str, nonce: str) -> bool:
    """Check a Digest answer as a server does. Source: RFC 7616, 3.4.1."""

    def digest(text: str) -> str:
        return hashlib.new("sha256" if algorithm.startswith("SHA-256") else "md5", text.encode()).hexdigest()

    who = digest(f"{USER}:{REALM}:{PASSWORD}")
    if algorithm.endswith("-sess"):
        who = digest(f"{who}:{nonce}:{given['cnonce']}")
    expected = digest(f"{who}:{nonce}:{given['nc']}:{given['cnonce']}:auth:{digest(f'GET:{path}')}")
    return given["response"] == expected and given["uri"] == path and given["username"] == USER


@contextmanager
def web_camera(image: bytes, certificate: Path | None = None) -> Iterator[WebCamera]:
    """Run a camera that shows `image`, by HTTPS where it has a certificate (with its key, PEM)."""
    camera = WebCamera(image, certificate)
    camera.start()
    try:
        yield camera
    finally:
        camera.close()
