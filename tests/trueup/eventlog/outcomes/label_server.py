"""A real HTTP server on a port of its own that answers each path as it was told, and remembers what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Says:
    """body: bytes, or text as UTF-8. cut: bytes that are promised and not sent."""

    status: int = 200
    body: bytes | str = b""
    kind: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0


@dataclass
class LabelServer:
    """answers: path -> what it says, one after the other; the last for good. asked: path and headers of each."""

    address: str
    answers: dict[str, list[Says]] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def says(self, path: str, *answers: Says) -> str:
        """The address of the path."""
        self.answers[path] = list(answers)
        return f"{self.address}{path}"

    def next(self, path: str) -> Says:
        waiting = self.answers.get(path, [Says(404)])
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]


@contextmanager
def label_server() -> Iterator[LabelServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            served.asked.append((self.path, self.headers))
            said = served.next(path)
            content = said.body.encode() if isinstance(said.body, str) else said.body
            self.send_response(said.status)
            for name, value in {**said.headers, **({"Content-Type": said.kind} if said.kind else {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content) + said.cut))
            self.end_headers()
            self.wfile.write(content)
            self.close_connection = bool(said.cut)

        def log_message(self, *_: Any) -> None:
            """To nobody."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        served = LabelServer(f"http://127.0.0.1:{http.server_port}")
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield served
        finally:
            http.shutdown()
            thread.join()
