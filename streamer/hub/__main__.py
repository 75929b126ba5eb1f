"""`python -m streamer.hub` is `streamer hub batch`."""

import sys

from streamer.hub import main

if __name__ == "__main__":
    sys.exit(main())
