"""Devices by the names that people know from elsewhere."""

from typing import Any

AUTO = "AUTO"
#: What back ends call a processor, NVIDIA's cards and OpenCL; the first of each takes it where no back end is named.
_NAMES: dict[str, dict[str, str]] = {
    "CPU": {"onnxruntime": "cpu", "openvino": "CPU", "tinygrad": "CPU"},
    "CUDA": {"onnxruntime": "cuda:0", "tinygrad": "CUDA"},
    "OCL": {"tinygrad": "CL", "openvino": "GPU"},
}


def session_keywords(backend: str | None, device: str | None) -> dict[str, Any]:
    """Return a back end and a device in the keywords of `Session`.

    Args:
        backend: Its name; None for a card where there is one, else the CPU, or for the one that a device is known by.
        device: AUTO or None for the back end's own choice; CPU, CUDA or OCL; else the back end's name for it.
    """
    if device is None or device.upper() == AUTO:
        return {"backend": backend, "device": AUTO if backend == "openvino" else None}
    names = _NAMES.get(device.upper())
    if names is None:
        return {"backend": backend, "device": device}
    chosen = backend or next(iter(names))
    return {"backend": chosen, "device": names.get(chosen, device)}
