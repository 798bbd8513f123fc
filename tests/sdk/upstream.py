"""A scripted model API for every wire over raw HTTP/1.1. The user's message is the script.

    python3 upstream.py    prints its port, then serves on 127.0.0.1 until standard input closes

A script consists of words with values: `script tag=a1 tokens=20 every=5`.

    tag=T       the name under which /control finds this call
    tokens=N    the number of tokens to send (3)
    every=MS    the pause before each token (0)
    stall=MS    the pause before the first token (0)
    gate=G      after five tokens, wait for /control/gate?name=G
    tools=1     send two parallel tool calls; when their results come back, send these as text
    think=1     send reasoning before the first token
    say=TEXT    send this text (without blanks) instead of tokens
    status=N    answer with this HTTP error status
    error=N     answer 200, and send an error after N tokens (0: as the first event)
    never=head  never send a response head
    never=body  send a response head and nothing else

/control/calls?tag=T lists the received calls whose tag starts with T.
/control/wait?tag=T&ended=N answers when N of these calls have ended.
"""

import asyncio
import itertools
import json
import sys
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

from wires import WIRES, ScriptError

# Maximum size of a request body, bytes.
MAX_BODY = 4 << 20
# Seconds.
CONTROL_WAIT = 20.0
TOKENS_BEFORE_GATE = 5
# Characters per piece of `say`.
SAY_PIECE = 4


def token(index: int) -> str:
    """Returns the token with this number. All differ, and some contain non-ASCII characters."""
    return f"tok{index}{('', ' ', 'ü ', '€ ', '😀 ')[index % 5]}"


class Call:
    """One received request, and the state of its response."""

    def __init__(self, number, method, target, headers, body):
        self.number, self.method, self.target, self.headers, self.body = number, method, target, headers, body
        self.wire = next((wire for wire in WIRES if wire.matches(target)), None)
        self.script = parse_script(self.wire.user_texts(body)) if self.wire else {}
        # The text and the number of tokens sent so far; `end` is "done", "closed" or "broken: …".
        self.text, self.sent, self.end = "", 0, None
        # State of the wire: the number of events and the items sent so far.
        self.events, self.items = 0, []

    def report(self):
        """Returns the call as JSON for /control."""
        return {
            "number": self.number, "method": self.method, "target": self.target, "headers": self.headers, "body": self.body,
            "script": self.script, "text": self.text, "sent": self.sent, "end": self.end, "wire": self.wire and self.wire.NAME,
        }


def parse_script(texts):
    """Returns the words of the newest script among the user's texts."""
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
        """Plays the script until it ends or the client disconnects.

        Returns True if the connection can be used for another request.
        """
        # A client sends nothing while it waits, so this read returns only when it disconnects.
        disconnected = asyncio.ensure_future(reader.read(1))
        playing = asyncio.ensure_future(self.play(call, writer))
        await asyncio.wait({disconnected, playing}, return_when=asyncio.FIRST_COMPLETED)
        finished = playing.done() and playing.exception() is None
        for task in (disconnected, playing):
            task.cancel()
        _, result = await asyncio.gather(disconnected, playing, return_exceptions=True)
        if finished:
            # The client may send its next request when it has the last bytes, so these are sent
            # only after the read above has been cancelled.
            writer.write(result)
            await writer.drain()
        broken = isinstance(result, Exception) and not isinstance(result, ConnectionError)
        call.end = "done" if finished else f"broken: {result!r}" if broken else "closed"
        async with self.changed:
            self.changed.notify_all()
        return finished

    async def play(self, call, writer):
        """Writes the response except for its last bytes, which it returns."""
        wire, script = call.wire, call.script
        if wire is None:
            raise ScriptError(f"no wire has the path {call.target}")
        if script.get("never") == "head":
            await asyncio.Event().wait()
        if status := int(script.get("status", 0)):
            return json_response(status, wire.error_body(status, f"scripted refusal {status}"))
        if reason := wire.invalid_reason(call.body):
            return json_response(400, wire.error_body(400, reason))
        if counted := wire.count_response(call.target):
            return json_response(200, counted)
        streamed = wire.wants_stream(call.target, call.body)
        if script.get("never") == "body" or streamed:
            kind = wire.KIND.encode() if streamed else b"application/json"
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ntransfer-encoding: chunked\r\nx-request-id: up-1\r\n\r\n" % kind)
        if script.get("never") == "body":
            await asyncio.Event().wait()
        if not streamed and "error" in script:
            return json_response(200, wire.error_body(500, "scripted error"))
        if not streamed:
            async for _ in self.pieces(call):
                pass
            return json_response(200, wire.full_response(call.body, call.text, self.calls_tools(call), call.sent))
        async for piece in self.pieces(call):
            piece = wire.for_call(call, piece)
            data = piece if isinstance(piece, bytes) else piece.encode()
            writer.write(b"%x\r\n%s\r\n" % (len(data), data))
            await writer.drain()
        return b"0\r\n\r\n"

    def calls_tools(self, call):
        return "tools" in call.script and not call.wire.result_texts(call.body)

    def tokens(self, call):
        if "tools" in call.script:
            return call.wire.result_texts(call.body)
        if text := call.script.get("say"):
            return [text[at : at + SAY_PIECE] for at in range(0, len(text), SAY_PIECE)]
        return [token(index) for index in range(int(call.script.get("tokens", 3)))]

    async def pieces(self, call):
        """Yields the stream piece by piece.

        A token is recorded in `call` before it is written, so a client never has more than is recorded.
        """
        wire, script = call.wire, call.script
        error = int(script["error"]) if "error" in script else None
        if error == 0:
            yield wire.error_piece("scripted error")
            return
        if opening := wire.opening():
            yield opening
        await asyncio.sleep(int(script.get("stall", 0)) / 1000)
        if self.calls_tools(call):
            for piece in wire.call_pieces(call.body):
                yield piece
        # On wires that number blocks, the text is block 1 if a reasoning block precedes it.
        place = int("think" in script)
        if place:
            for piece in wire.reasoning_pieces():
                yield piece
        for index, text in enumerate(self.tokens(call)):
            if index == error:
                yield wire.error_piece("scripted error")
                return
            if index == TOKENS_BEFORE_GATE and "gate" in script:
                await self.gate(script["gate"]).wait()
            await asyncio.sleep(int(script.get("every", 0)) / 1000)
            call.text += text
            call.sent += 1
            yield wire.token(text, index, place)
        yield wire.closing(self.calls_tools(call), call.sent, place, call.text)

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
                # After a timeout the calls so far are sent too: the test reports what is missing.
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self.changed.wait_for(enough), CONTROL_WAIT)
        writer.write(json_response(200, [call.report() for call in tagged()]))
        await writer.drain()


async def read_request(reader):
    """Reads the next request of a connection. Returns None if the client has closed it."""
    with suppress(asyncio.IncompleteReadError):
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
        size = int(headers.get("content-length", 0))
        if size > MAX_BODY or "transfer-encoding" in headers:
            raise ConnectionError(f"the body is chunked or longer than {MAX_BODY} bytes, which the proxy never sends")
        return method, target, headers, await reader.readexactly(size)


def json_response(status, value):
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def main():
    server = await asyncio.start_server(Upstream().serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    # The parent process holds the other end of standard input: if it exits, this process exits too.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
