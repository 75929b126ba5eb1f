"""Certificates that sign themselves."""

import shutil
import subprocess
from pathlib import Path

from tests.fakes.rtsp_camera import need


def make_certificate(folder: Path, names: str) -> Path:
    """Make one for `names` (`IP:127.0.0.1`, `DNS:cam.example`); the file holds its key, too."""
    need(shutil.which("openssl") is not None, "openssl")
    path = folder / "camera.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=camera", "-addext", f"subjectAltName={names}"]
    command += ["-keyout", f"{path}.key", "-out", f"{path}.crt"]
    subprocess.run(command, check=True, timeout=60, capture_output=True)
    path.write_bytes(Path(f"{path}.key").read_bytes() + Path(f"{path}.crt").read_bytes())
    return path
