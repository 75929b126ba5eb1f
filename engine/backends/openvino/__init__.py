"""OpenVINO: Intel's CPUs, GPUs and NPUs."""

from engine.backends.openvino.backend import OpenVinoBackend

__all__ = ["OpenVinoBackend"]
