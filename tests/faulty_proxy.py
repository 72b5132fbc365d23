"""A proxy before a storage server that fails requests and cuts transfers short, by count: the same order every time."""

from __future__ import annotations

import http.client
import itertools
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

_HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length")


class FaultyProxy:
    """Passes requests on to a server, but for those that `fault` names a fault for.

    Faults: `500`, `503`, `429` (answered at once), `reset` (the connection is reset), `lost` (the server does what it
    was asked, then the connection is reset), `cut` (the connection ends in the middle of the answer's body), `short`
    (half of a body is answered as if it were all), `hang` (no answer until the proxy goes).

    Args:
        upstream: (host, port) of the server.
        fault: (method, number of the request from 1) -> a fault, or None.
    """

    def __init__(self, upstream: tuple[str, int], fault: Callable[[str, int], str | None]) -> None:
        self.upstream = upstream
        self.fault = fault
        self.numbers = itertools.count(1)
        self.requests = 0
        self.gone = threading.Event()
        self.injected: Counter[str] = Counter()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self.gone.set()
        self._server.shutdown()
        self._server.server_close()


def every(request: int, transfer: int) -> Callable[[str, int], str | None]:
    """Every so-many-th request fails, one way after the other; every so-many-th transfer comes short."""
    failures = itertools.cycle(("500", "503", "429", "reset"))
    cuts = itertools.cycle(("cut", "short"))
    transfers = itertools.count(1)

    def fault(method: str, number: int) -> str | None:
        if number % request == 0:
            return next(failures)
        if method == "GET" and next(transfers) % transfer == 0:
            return next(cuts)
        return None

    return fault


class _Server(ThreadingHTTPServer):
    proxy: FaultyProxy
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client whose answer was cut goes away; that is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _handle(self) -> None:
        proxy = self.server.proxy
        body = self._body()
        number = next(proxy.numbers)
        proxy.requests = number
        fault = proxy.fault(self.command, number)
        if fault in ("500", "503", "429"):
            proxy.injected[fault] += 1
            self._answer(int(fault), "Injected", [], b"injected fault")
        elif fault == "hang":
            proxy.injected[fault] += 1
            proxy.gone.wait()
            self.close_connection = True
        elif fault == "reset":
            proxy.injected[fault] += 1
            self._reset()
        else:
            self._pass_on(body, fault)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_PATCH = _handle  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def handle_expect_100(self) -> bool:
        return True

    def _pass_on(self, body: bytes, fault: str | None) -> None:
        proxy = self.server.proxy
        upstream = http.client.HTTPConnection(*proxy.upstream)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in (*_HOP_BY_HOP, "expect")}
        if body or self.command in ("PUT", "POST"):
            headers["Content-Length"] = str(len(body))
        upstream.request(self.command, self.path, body=body or None, headers=headers)
        answer = upstream.getresponse()
        data = answer.read()
        upstream.close()
        kept = [(k, v) for k, v in answer.getheaders() if k.lower() not in _HOP_BY_HOP]
        if fault == "lost":
            proxy.injected[fault] += 1
            self._reset()
            return
        length = int(answer.headers.get("Content-Length", 0)) if self.command == "HEAD" else len(data)
        if fault in ("cut", "short") and len(data) > 1:
            proxy.injected[fault] += 1
            data = data[: len(data) // 2]
            if fault == "short":
                length = len(data)
        self._answer(answer.status, answer.reason, kept, data, length)

    def _answer(
        self, status: int, reason: str, headers: list[tuple[str, str]], data: bytes, length: int | None = None
    ) -> None:
        expected = len(data) if length is None else length
        self.send_response_only(status, reason)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(expected))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(data)
        if len(data) < expected:
            self.wfile.flush()
            self.close_connection = True

    def _reset(self) -> None:
        """Close with RST instead of FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True
        self.rfile.close()
