"""Recordings of real provider streams, and a server that plays them.

The recordings are those in `SLUICEGATE_CORPUS` (default `shared/corpus` beside the repository), if
this folder exists, and those of the repository. `SLUICEGATE_WIRES` selects wires, comma-separated.
"""

import json
import os
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# Folder, wire, and the content type of recordings without one. Recordings of Gemini as a JSON array
# are left out because no SDK requests this format.
FOLDERS = [
    ("openai-chat", "openai-chat", "text/event-stream"),
    ("openai-responses", "openai-responses", "text/event-stream"),
    ("anthropic-messages", "anthropic", "text/event-stream"),
    ("gemini", "gemini", "text/event-stream"),
    ("bedrock-converse", "bedrock", "application/vnd.amazon.eventstream"),
    ("ollama-chat", "ollama", "application/x-ndjson"),
    ("cohere-v2", "cohere", "text/event-stream"),
]
# Size of one HTTP chunk, bytes: a prime, so that most chunks end inside a frame.
PIECE = 997

SERVER = '[server]\nlisten = "127.0.0.1:0"\nadmin_listen = "127.0.0.1:0"\ndrain = "1s"\n'
PROVIDER = """
[providers.{wire}]
wire = "{wire}"
base_url = "{url}"
api_key = "sk-upstream-of-recordings"
[models.{wire}]
route = ["{wire}/m"]
retries = 0
"""


@dataclass
class Recording:
    folder: str
    wire: str
    name: str
    provider: str
    content_type: str
    body: bytes
    expected: dict

    @property
    def fails(self):
        """True if the recorded stream contains an error or ends before it is complete."""
        fold = self.expected
        return fold["error"] is not None or not (fold["terminated"] or fold["finish_reason"] or fold.get("block_reason"))


def selected(wire):
    names = os.environ.get("SLUICEGATE_WIRES")
    return names is None or wire in names.split(",")


def corpus():
    folder = os.environ.get("SLUICEGATE_CORPUS")
    return Path(folder) if folder else ROOT.parent / "shared/corpus"


def all_recordings():
    own = under(ROOT / "tests/recordings")
    found = under(corpus())
    assert found or not os.environ.get("SLUICEGATE_CORPUS"), "SLUICEGATE_CORPUS is set, but contains no recording"
    return found + own


def under(root):
    folders = [(root / folder, wire, kind) for folder, wire, kind in FOLDERS if selected(wire) and (root / folder).is_dir()]
    return [read(path, wire, kind) for folder, wire, kind in folders for path in sorted(folder.iterdir())]


def read(path, wire, kind):
    meta = json.loads((path / "meta.json").read_text())
    expected = json.loads((path / "expected.json").read_text())
    content_type = meta.get("content_type") or kind
    return Recording(path.parent.name, wire, path.name, meta.get("provider") or "", content_type, (path / "body").read_bytes(), expected)


def config(url):
    """Returns the configuration of a proxy in front of the player, with one model per wire."""
    return SERVER + "".join(PROVIDER.format(wire=wire, url=url) for _, wire, _ in FOLDERS if selected(wire))


@contextmanager
def playing(recordings):
    """Runs a server that plays recordings and yields its URL.

    `recording-N-` in the path, or else in the body, selects the recording.
    """

    class Player(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # With Nagle's algorithm each chunk would wait up to 40 ms for a delayed acknowledgement.
        disable_nagle_algorithm = True

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            number = re.search(rb"recording-(\d+)-", self.path.encode() + b" " + body)
            recording = recordings[int(number[1])]
            self.send_response(200)
            self.send_header("content-type", recording.content_type)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for at in range(0, len(recording.body), PIECE):
                piece = recording.body[at : at + PIECE]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, *_):
            """Ignores disconnects: the tests report what they did not receive."""

    server = Server(("127.0.0.1", 0), Player)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
