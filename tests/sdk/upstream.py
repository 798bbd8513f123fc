"""A scripted model API: every wire over raw HTTP/1.1, told by the user's message what to do.

    python3 upstream.py            prints its port, then serves on 127.0.0.1 until it is ended

A message is a script, words with values: `script tag=a1 tokens=20 every=5`.

    tag=T       the name under which /control finds this call
    tokens=N    so many tokens (3)              every=MS    the pause before each token (0)
    stall=MS    the pause before the first one  gate=G      after five tokens, wait until /control/gate?name=G
    tools=1     two parallel tool calls; their results, brought back, are said as text
    think=1     a thought before the first token    say=TEXT  this text (without blanks) instead of tokens
    status=N    an HTTP error                   error=N     an error under a 200, after N tokens (0: the first event)
    never=head  no answer at all                never=body  a head and nothing more

/control/calls?tag=T lists what was seen; /control/wait?tag=T&ended=N answers once N calls of that tag have ended.
"""

import asyncio
import itertools
import json
import sys
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

from wires import WIRES, ScriptError

BODY_BOUND = 4 << 20
CONTROL_WAIT = 20.0
AT_THE_GATE = 5
SAID_AT_ONCE = 4


def token(index: int) -> str:
    """The token of that number: no two are alike, some are more than ASCII."""
    return f"tok{index}{('', ' ', 'ü ', '€ ', '😀 ')[index % 5]}"


class Call:
    """One request for an answer, and what became of it."""

    def __init__(self, number, method, target, headers, body):
        self.number, self.method, self.target, self.headers, self.body = number, method, target, headers, body
        self.wire = next((wire for wire in WIRES if wire.owns(target)), None)
        self.script = script(self.wire.asked(body)) if self.wire else {}
        self.said, self.sent, self.end = "", 0, None
        # What the wire notes of it.
        self.events, self.items = 0, []

    def seen(self):
        return {
            "number": self.number, "method": self.method, "target": self.target, "headers": self.headers, "body": self.body,
            "script": self.script, "said": self.said, "sent": self.sent, "end": self.end, "wire": self.wire and self.wire.NAME,
        }


def script(texts):
    """The newest script among what the user said."""
    scripts = [text for text in texts if text.startswith("script ")]
    return dict(word.split("=", 1) for word in scripts[-1].split()[1:]) if scripts else {}


class Upstream:
    def __init__(self):
        self.calls, self.numbers, self.gates = [], itertools.count(), {}
        self.changed = asyncio.Condition()

    async def serve(self, reader, writer):
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while request := await read_request(reader):
                method, target, headers, body = request
                if target.startswith("/control/"):
                    await self.control(writer, urlsplit(target))
                    continue
                call = Call(next(self.numbers), method, target, headers, json.loads(body or b"null"))
                self.calls.append(call)
                if not await self.answer(call, reader, writer):
                    break
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def answer(self, call, reader, writer):
        """Plays the script; True where the connection can be used again. A client that goes away ends it."""
        gone = asyncio.ensure_future(reader.read(1))
        playing = asyncio.ensure_future(self.play(call, writer))
        await asyncio.wait({gone, playing}, return_when=asyncio.FIRST_COMPLETED)
        finished = playing.done() and playing.exception() is None
        for task in (gone, playing):
            task.cancel()
        _, last = await asyncio.gather(gone, playing, return_exceptions=True)
        if finished:
            # Only now, when nobody reads any more, a next request may come.
            writer.write(last)
            await writer.drain()
        broken = isinstance(last, Exception) and not isinstance(last, ConnectionError)
        call.end = "done" if finished else f"broken: {last!r}" if broken else "closed"
        async with self.changed:
            self.changed.notify_all()
        return finished

    async def play(self, call, writer):
        """Says all but the last bytes of the answer, which are returned."""
        wire, asked = call.wire, call.script
        if wire is None:
            raise ScriptError(f"no wire is spoken at {call.target}")
        if asked.get("never") == "head":
            await asyncio.Event().wait()
        if status := int(asked.get("status", 0)):
            return whole(status, wire.refusal(status, f"scripted refusal {status}"))
        if complaint := wire.complaint(call.body):
            return whole(400, wire.refusal(400, complaint))
        if counted := wire.counted(call.target):
            return whole(200, counted)
        streamed = wire.wants_stream(call.target, call.body)
        if asked.get("never") == "body" or streamed:
            kind = wire.KIND.encode() if streamed else b"application/json"
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ntransfer-encoding: chunked\r\nx-request-id: up-1\r\n\r\n" % kind)
        if asked.get("never") == "body":
            await asyncio.Event().wait()
        if not streamed and "error" in asked:
            return whole(200, wire.refusal(500, "scripted error"))
        if not streamed:
            async for _ in self.pieces(call):
                pass
            return whole(200, wire.whole(call.body, call.said, self.calls_tools(call), call.sent))
        async for piece in self.pieces(call):
            piece = wire.stamped(call, piece)
            data = piece if isinstance(piece, bytes) else piece.encode()
            writer.write(b"%x\r\n%s\r\n" % (len(data), data))
            await writer.drain()
        return b"0\r\n\r\n"

    def calls_tools(self, call):
        return "tools" in call.script and not call.wire.results(call.body)

    def tokens(self, call):
        if "tools" in call.script:
            return call.wire.results(call.body)
        if said := call.script.get("say"):
            return [said[at : at + SAID_AT_ONCE] for at in range(0, len(said), SAID_AT_ONCE)]
        return [token(index) for index in range(int(call.script.get("tokens", 3)))]

    async def pieces(self, call):
        """The stream, piece by piece; what is said is noted before it is written."""
        wire, asked = call.wire, call.script
        error = int(asked["error"]) if "error" in asked else None
        if error == 0:
            yield wire.error("scripted error")
            return
        if opening := wire.opening():
            yield opening
        await asyncio.sleep(int(asked.get("stall", 0)) / 1000)
        if self.calls_tools(call):
            for piece in wire.calls(call.body):
                yield piece
        # Where blocks are numbered, that of the text is the second behind a thought.
        place = int("think" in asked)
        if place:
            for piece in wire.thought():
                yield piece
        for index, text in enumerate(self.tokens(call)):
            if index == error:
                yield wire.error("scripted error")
                return
            if index == AT_THE_GATE and "gate" in asked:
                await self.gate(asked["gate"]).wait()
            await asyncio.sleep(int(asked.get("every", 0)) / 1000)
            call.said += text
            call.sent += 1
            yield wire.token(text, index, place)
        yield wire.closing(self.calls_tools(call), call.sent, place, call.said)

    def gate(self, name):
        return self.gates.setdefault(name, asyncio.Event())

    async def control(self, writer, url):
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/control/gate":
            self.gate(query["name"]).set()
        tagged = lambda: [call for call in self.calls if call.script.get("tag", "").startswith(query.get("tag", ""))]
        if url.path == "/control/wait":
            enough = lambda: sum(call.end is not None for call in tagged()) >= int(query["ended"])
            async with self.changed:
                # What was seen by then is answered either way: the test tells what it misses.
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self.changed.wait_for(enough), CONTROL_WAIT)
        writer.write(whole(200, [call.seen() for call in tagged()]))
        await writer.drain()


async def read_request(reader):
    """The next request of a connection; nothing where the client has closed it."""
    with suppress(asyncio.IncompleteReadError):
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
        size = int(headers.get("content-length", 0))
        if size > BODY_BOUND or "transfer-encoding" in headers:
            raise ConnectionError("a body that no client of this API sends")
        return method, target, headers, await reader.readexactly(size)


def whole(status, answer):
    body = json.dumps(answer).encode()
    head = f"HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def main():
    server = await asyncio.start_server(Upstream().serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    # Whoever started this one holds its standard input; when that is closed, there is nobody left to serve.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
