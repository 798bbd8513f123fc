"""A TCP relay that cuts the connection after a given number of response bytes."""

import asyncio
import threading
from contextlib import suppress
from urllib.parse import urlsplit

# Maximum size of one read, bytes.
PIECE = 4096


class Relay:
    """Cuts the first connections after `cuts[0]`, `cuts[1]`, … bytes, and no later ones."""

    def __init__(self, url, cuts):
        parts = urlsplit(url)
        self.target, self.cuts, self.connections, self.cuts_made = (parts.hostname, parts.port), iter(cuts), 0, 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        self.server = self.run(asyncio.start_server(self.serve, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_):
        self.run(self.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    async def stop(self):
        self.server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def serve(self, reader, writer):
        self.connections += 1
        remaining = next(self.cuts, None)
        up_reader, up_writer = await asyncio.open_connection(*self.target)
        to_upstream = asyncio.ensure_future(forward(reader, up_writer, None))
        to_client = asyncio.ensure_future(forward(up_reader, writer, remaining))
        try:
            await asyncio.wait({to_upstream, to_client}, return_when=asyncio.FIRST_COMPLETED)
            self.cuts_made += to_client.done() and not to_client.cancelled() and to_client.result()
        finally:
            for task in (to_upstream, to_client):
                task.cancel()
            up_writer.close()
            writer.close()


async def forward(reader, writer, remaining):
    """Copies until one side closes or no bytes remain. Returns True in the latter case."""
    with suppress(ConnectionError):
        while data := await reader.read(PIECE if remaining is None else min(PIECE, remaining or 1)):
            # A cut after 0 bytes still waits for the response: so the request reaches the server.
            if remaining == 0:
                return True
            writer.write(data)
            await writer.drain()
            if remaining is not None:
                remaining -= len(data)
                if remaining == 0:
                    return True
    return False
