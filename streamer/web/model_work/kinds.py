"""What may be sent in, told by a file's name and its first bytes. Pure."""

from dataclasses import dataclass

from engine.models.files import ONNX_MAGIC, PICKLE_MAGIC, TFLITE_MAGIC, TORCH_SUFFIXES, ZIP_MAGIC
from streamer.web import words
from streamer.web.errors import WebError

#: So many bytes are enough to tell.
HEAD_BYTES = 16
_MAX_NAME_CHARS = 200
#: Whatever is called so is an archive of `torch.export`: a program, which is not opened for whoever sends it.
_TORCH_PROGRAM = ".pt2"
_PICTURE_MAGICS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"BM")


class UploadError(WebError):
    """A file is refused; the message is one line.

    Attributes:
        status: Of the answer, as HTTP numbers it.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file that a page takes.

    Attributes:
        path: Where it is sent to.
        what: What it is called in a sentence.
        suffixes: That its name may end in.
    """

    path: str
    what: str
    suffixes: tuple[str, ...]
    max_bytes: int


def models(max_bytes: int, *, with_torch: bool) -> Kind:
    """Return the kind of models: those of the store, or with torch's those that are converted for anybody."""
    torch_suffixes = tuple(sorted(TORCH_SUFFIXES - {_TORCH_PROGRAM})) if with_torch else ()
    return Kind("/api/upload/model", "model", (".onnx", ".npz", ".tflite", *torch_suffixes), max_bytes)


def pictures(max_bytes: int) -> Kind:
    """Return the kind of pictures that models are tried on."""
    return Kind("/api/upload/picture", "picture", (".jpg", ".jpeg", ".png", ".webp", ".bmp"), max_bytes)


def checked_name(kind: Kind, name: str) -> str:
    """Return the end of a file's name that says what it is, in lower case. No file of ours ever bears the name.

    Raises:
        UploadError: The name is none, or of another kind.
    """
    if not name or len(name) > _MAX_NAME_CHARS or not name.isprintable():
        raise UploadError(400, f"a file's name has 1 to {_MAX_NAME_CHARS} letters, all of which can be seen: rename it")
    if "/" in name or "\\" in name or name.startswith("."):
        raise UploadError(400, "this is a path, and no file's name: send the file under its name alone")
    suffix = f".{name.rpartition('.')[2].lower()}" if "." in name else ""
    if suffix not in kind.suffixes:
        hint = ": streamer convert opens it, where you trust it" if suffix == _TORCH_PROGRAM else ""
        raise UploadError(
            415, f"a {kind.what} ends in {', '.join(kind.suffixes)}; this is {suffix or 'without one'}{hint}"
        )
    return suffix


def check_head(kind: Kind, suffix: str, head: bytes) -> None:
    """Look at the first bytes of a file.

    Raises:
        UploadError: They are of another kind than the name says.
    """
    if kind.what == "picture":
        is_right = head.startswith(_PICTURE_MAGICS)
    elif suffix in TORCH_SUFFIXES and head.startswith(PICKLE_MAGIC):
        raise UploadError(
            415,
            "this is a pickle, which can run any code when it is read: send what torch.save writes today, an archive",
        )
    elif suffix == ".tflite":
        is_right = head[4:8] == TFLITE_MAGIC
    elif suffix == ".onnx":
        is_right = head.startswith(ONNX_MAGIC)
    else:
        is_right = head.startswith(ZIP_MAGIC)
    if not is_right:
        raise UploadError(415, f"this is no {suffix} file: its first bytes are those of something else")


def too_large(kind: Kind) -> UploadError:
    """Return what is said of a file that is too large."""
    hint = ": start with a larger --max-upload-bytes" if kind.what == "model" else ""
    return UploadError(413, f"the {kind.what} is larger than {words.size(kind.max_bytes)}, which is the most{hint}")
