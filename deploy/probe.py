"""Ask a process of this container how it is: `probe.py [PORT] [PATH]`; exit code 0 for an answer of 200.

Without arguments: `/healthz` on the metrics port. Python, since the image has no curl.
"""  # noqa: INP001 - a script of the image

import os
import sys
from http.client import HTTPConnection

_TIMEOUT_S = 3.0


def main(port: str = os.environ.get("STREAMER_METRICS_PORT", "9464"), path: str = "/healthz") -> int:
    """Return 0 where the answer is 200, else 1."""
    # No library that would ask a proxy of the environment.
    connection = HTTPConnection("127.0.0.1", int(port), timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return int(connection.getresponse().status != 200)
    except OSError:
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
