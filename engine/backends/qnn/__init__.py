"""Qualcomm's QNN, as a plug-in of ONNX Runtime: on x86-64 it runs the Hexagon processor's emulator.

The emulator computes what the processor computes, so answers are real; its times are this machine's, not a device's.
"""

from engine.backends.qnn.backend import QnnBackend as QnnBackend
from engine.backends.qnn.session import QnnOwn as QnnOwn
