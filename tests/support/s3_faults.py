"""A small proxy in front of the S3 server that answers errors, or cuts connections in the middle of a body."""

import http.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

CUT_REQUEST, CUT_ANSWER = "cut request", "cut answer"
"""What a rule returns to close the connection: after half of what is sent, or half of a good answer."""

Rule = Callable[[str, str], tuple[int, str] | str | None]
"""Gets method and path; gives None (pass it on), (status, code) or one of the above."""


class Proxy(ThreadingHTTPServer):
    daemon_threads = True
    rule: Rule = staticmethod(lambda _method, _path: None)

    def __init__(self, endpoint: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(endpoint).netloc
        self.seen: list[tuple[str, str]] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address) -> None:
        """A client that goes away is none of our business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def log_message(self, *args) -> None:
        pass

    def handle_all(self) -> None:
        self.server.seen.append((self.command, self.path))
        verdict = self.server.rule(self.command, self.path)
        length = int(self.headers.get("Content-Length") or 0)
        if verdict == CUT_REQUEST:
            self.rfile.read(length // 2)
            self.close_connection = True
            return
        body = self.rfile.read(length)
        if isinstance(verdict, tuple):
            status, code = verdict
            answer = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>m</Message></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer)
            return
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=60)
        upstream.request(self.command, self.path, body, dict(self.headers))
        response = upstream.getresponse()
        data = response.read()
        self.send_response_only(response.status)
        for name, value in response.getheaders():
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(name, value)
        size = response.getheader("Content-Length") if self.command == "HEAD" else len(data)
        self.send_header("Content-Length", str(size or 0))
        self.end_headers()
        if verdict == CUT_ANSWER and response.status < 300:
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
            return
        self.wfile.write(data)
        upstream.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_all


@contextmanager
def proxy(endpoint: str) -> Iterator[Proxy]:
    with Proxy(endpoint) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
