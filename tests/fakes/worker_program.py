"""A worker in a process of its own, to be killed: `python -m tests.fakes.worker_program MODEL [PORT]`."""

import asyncio
import sys

from engine.engines.worker import WorkerServer


async def serve(model: str, port: int) -> None:
    """Serve until the process ends; the first line on standard output is the address."""
    async with WorkerServer(model, device="CPU", port=port, batch_size=4, batch_timeout=0.0) as server:
        print(server.address, flush=True)  # noqa: T201 - whoever started it reads it
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0))
