"""`python -m streamer` is the command."""

import sys

from streamer.cli.main import main

sys.exit(main())
