"""A server that speaks the chat completions protocol, and misbehaves on request."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, dict[str, str], bytes]


def completion(text: Any, **more: Any) -> Answer:
    body = {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107},
        **more,
    }
    return 200, {}, json.dumps(body).encode()


def refusal(status: int, **headers: str) -> Answer:
    return status, headers, json.dumps({"error": {"message": f"status {status}"}}).encode()


@dataclass
class Service:
    """What the server does, and what it saw."""

    answer: Callable[[dict[str, Any], int], Answer | None]
    url: str = ""
    models: tuple[str, ...] | None = ("m",)
    seen: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    busy: int = 0
    most_busy: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    released: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serve(answer: Callable[[dict[str, Any], int], Answer | None], models: Any = ("m",)) -> Iterator[Service]:
    """A server until the block ends; `answer` gets the request's body and its number, None: it never answers."""
    service = Service(answer=answer, models=models)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if service.models is None:
                self._send(*refusal(404))
                return
            data = [{"id": name, "object": "model", "created": 0, "owned_by": "us"} for name in service.models]
            self._send(200, {}, json.dumps({"object": "list", "data": data}).encode())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with service.lock:
                service.seen.append(body)
                service.keys.append(self.headers["Authorization"])
                number = len(service.seen) - 1
                service.busy += 1
                service.most_busy = max(service.most_busy, service.busy)
            answer = service.answer(body, number)
            with service.lock:
                service.busy -= 1
            if answer is None:
                service.released.wait(30)
            else:
                self._send(*answer)

        def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield service
    finally:
        service.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
