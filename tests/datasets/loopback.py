"""An HTTP server on 127.0.0.1 whose every answer a test decides."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    """One answer: `body`, of which `sent` bytes are sent (None: all); status 0 hangs up at once."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    sent: int | None = None


@dataclass
class Server:
    """`answers[path]` is an answer, or a function of the request's headers and its number."""

    address: str
    answers: dict[str, Answer | Callable[[dict[str, str], int], Answer]] = field(
        default_factory=dict
    )
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def count(self, path: str) -> int:
        return sum(requested == path for requested, _ in self.requests)


def video(body: bytes, *, sent_first: int | None = None) -> Callable[[dict[str, str], int], Answer]:
    """Answer like a server of files that knows ranges, but break off after `sent_first` bytes."""

    def answer(headers: dict[str, str], _: int) -> Answer:
        start = int(headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        kind = {"Content-Type": "video/mp4", "Accept-Ranges": "bytes"}
        if start:
            kind["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        return Answer(body[start:], 206 if start else 200, kind, sent_first)

    return answer


@contextlib.contextmanager
def serve() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.requests.append((self.path, dict(self.headers)))
            answer = server.answers.get(self.path, Answer(status=404))
            if callable(answer):
                answer = answer(dict(self.headers), server.count(self.path))
            if not answer.status:
                self.close_connection = True  # hang up without a word
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body[: answer.sent])

        def do_HEAD(self) -> None:
            self.send_response(405)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Server(address=f"http://127.0.0.1:{http.server_address[1]}")
    thread = threading.Thread(
        target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
