"""tinygrad's settings for as long as it works for one back end."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module


@contextmanager
def settings(device: str) -> Iterator[None]:
    """Give tinygrad its default device, and no cache of kernels on disk where it cannot use one; on its own thread.

    Without a default device it opens one after the other, and puts the first into the environment.
    It would also compile in a pool of processes that stay; here it compiles on its thread.
    """
    helpers = import_module("tinygrad.helpers")
    cache_level = helpers.CACHELEVEL.value
    if cache_level:
        try:
            helpers.db_connection().execute("SELECT 1")
        except Exception:  # noqa: BLE001 - no home, a read-only one, or another thread's connection
            cache_level = 0
    with helpers.Context(DEV=device, CACHELEVEL=cache_level, PARALLEL=0):
        yield
