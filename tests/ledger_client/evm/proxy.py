"""A node's address with a fault in it: a small server that hands each call on to a real node, or spoils it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import Request, urlopen

Answer = Callable[[str], bytes | None]
"""From the name of a method to the body that comes instead of the node's; None: no fault."""


class Proxy:
    """``before`` answers without asking the node; ``after`` when the node has done what it was asked. A body that is
    empty ends the connection without a word. ``calls`` are the methods asked for, in order."""

    def __init__(self, target: str) -> None:
        self.before: Answer = lambda method: None
        self.after: Answer = lambda method: None
        self.calls: list[str] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet an answer

            def do_POST(self) -> None:
                question = self.rfile.read(int(self.headers["Content-Length"]))
                method = json.loads(question)["method"]
                proxy.calls.append(method)
                body = proxy.before(method)
                if body is None:
                    request = Request(target, question, {"Content-Type": "application/json"})
                    with urlopen(request, timeout=30) as response:
                        body = response.read()
                    instead = proxy.after(method)
                    body = body if instead is None else instead
                if body:
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                self.close_connection = not body

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def proxy(target: str) -> Iterator[Proxy]:
    """A running proxy without a fault."""
    running = Proxy(target)
    try:
        yield running
    finally:
        running.close()
