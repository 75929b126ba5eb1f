"""Files with secrets in them that others may read, too."""

import logging
import os
import stat
from functools import lru_cache
from pathlib import Path

log = logging.getLogger(__name__)


def warn_of_open_file(path: Path) -> None:
    """Warn, once a process, where every user of this machine may read a file of this user's.

    Files of others are let be: an orchestrator mounts its secrets as root's, where nobody else gets to them.
    """
    _warn_once(path.absolute())


@lru_cache
def _warn_once(path: Path) -> None:
    try:
        status = path.stat()
    except OSError:  # whoever reads it says so
        return
    if status.st_mode & stat.S_IROTH and status.st_uid == os.geteuid():
        log.warning("%s holds a secret, and every user of this machine may read it: chmod 600 %s", path, path)
