"""A TCP relay that cuts what it carries back to the client after so many bytes."""

import asyncio
import threading
from contextlib import suppress
from urllib.parse import urlsplit

PIECE = 4096


class Relay:
    """Each of its first connections is cut after the next number of bytes; later ones are left alone."""

    def __init__(self, url, cuts):
        parts = urlsplit(url)
        self.target, self.cuts, self.connections, self.cut = (parts.hostname, parts.port), iter(cuts), 0, 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        self.server = self.wait(asyncio.start_server(self.serve, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_):
        self.wait(self.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def wait(self, doing):
        return asyncio.run_coroutine_threadsafe(doing, self.loop).result(10)

    async def stop(self):
        self.server.close()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def serve(self, reader, writer):
        self.connections += 1
        left = next(self.cuts, None)
        up_reader, up_writer = await asyncio.open_connection(*self.target)
        there = asyncio.ensure_future(carry(reader, up_writer, None))
        back = asyncio.ensure_future(carry(up_reader, writer, left))
        try:
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
            self.cut += back.done() and not back.cancelled() and back.result()
        finally:
            for task in (there, back):
                task.cancel()
            up_writer.close()
            writer.close()


async def carry(reader, writer, left):
    """True where it ended because nothing more was allowed through."""
    with suppress(ConnectionError):
        while data := await reader.read(PIECE if left is None else min(PIECE, left or 1)):
            if left == 0:
                return True
            writer.write(data)
            await writer.drain()
            if left is not None:
                left -= len(data)
                if left == 0:
                    return True
    return False
