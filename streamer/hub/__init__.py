"""Models at Qualcomm AI Hub, compiled and run on a device there, a few at a time: the functions, for scripts.

`streamer hub batch` does all of it. Nothing is imported from the hub's own client before it is asked for something.
"""

from engine.backends.qai_hub.options import QaiHubOwn as QaiHubOwn
from streamer.hub.pictures import process_image as process_image
from streamer.hub.script import batch_inference as batch_inference
from streamer.hub.script import compile_and_run_inference as compile_and_run_inference
from streamer.hub.script import fetch_model_ids as fetch_model_ids
from streamer.hub.script import main as main
