"""Qualcomm AI Hub: real devices in Qualcomm's data centre, by jobs.

Slow by nature: a compilation takes minutes, and every batch is a job of its own, with an upload, a queue and a
download. It shows what a device answers, and is no way to classify a stream. Model and pictures leave this machine,
and AI Hub keeps them.
"""

from engine.backends.qai_hub.backend import QaiHubBackend as QaiHubBackend
from engine.backends.qai_hub.options import QaiHubOwn as QaiHubOwn
