"""A server on 127.0.0.1 that serves files as told: well, or badly in one of many ways."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Handler"], None]


class Server(ThreadingHTTPServer):
    """``answers[path]`` lists what to do with the 1st, 2nd ... request; the last is repeated."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[tuple[str, str | None, str | None]] = []
        self.release = threading.Event()

    def url(self, path: str, *answers: Answer) -> str:
        self.answers[path] = list(answers)
        return f"http://127.0.0.1:{self.server_port}{path}"

    def ranges(self, path: str) -> list[str | None]:
        """The Range header of each request for ``path``."""
        return [wanted for asked, wanted, _ in self.asked if asked == path]

    def handle_error(self, request, client_address) -> None:
        """A client that goes away is part of the tests."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.close_connection = True
        self.server.asked.append((self.path, self.headers["Range"], self.headers["If-Range"]))
        answers = self.server.answers.get(self.path, [status(404)])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        answer(self)

    def head(self, code: int, length: int | None, **headers: str) -> None:
        self.send_response(code)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def log_message(self, *args) -> None:
        pass


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        server.release.set()
        server.shutdown()
        server.server_close()


def good(content: bytes, etag: str = '"v1"', stop: int | None = None, stall: bool = False) -> Answer:
    """A correct server with ranges; ``stop`` drops (or stalls) the line after so many bytes."""
    def answer(handler: Handler) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", handler.headers["Range"] or "")
        version = handler.headers["If-Range"]
        start, end = 0, len(content)
        if wanted and version in (None, etag):
            start = int(wanted[1])
            end = min(end, int(wanted[2]) + 1) if wanted[2] else end
            if start >= len(content):
                return handler.head(416, 0, Content_Range=f"bytes */{len(content)}")
            handler.head(206, end - start, ETag=etag,
                         Content_Range=f"bytes {start}-{end - 1}/{len(content)}")
        else:
            handler.head(200, len(content), ETag=etag)
        body = content[start:end]
        handler.wfile.write(body if stop is None else body[:stop])
        handler.wfile.flush()
        if stall:
            handler.server.release.wait(20)

    return answer


def no_ranges(content: bytes, stop: int | None = None, length: bool = True) -> Answer:
    """Always sends the file from its beginning, whatever is asked."""
    def answer(handler: Handler) -> None:
        handler.head(200, len(content) if length else None)
        handler.wfile.write(content[:stop])

    return answer


def status(code: int, body: bytes = b"<html>no</html>", **headers: str) -> Answer:
    def answer(handler: Handler) -> None:
        handler.head(code, len(body), **headers)
        handler.wfile.write(body)

    return answer


def redirect(location: str) -> Answer:
    return status(302, b"", Location=location)


def partial(content: bytes, content_range: str) -> Answer:
    """Answers 206 with a part of its own choosing."""
    return status(206, content, Content_Range=content_range)
