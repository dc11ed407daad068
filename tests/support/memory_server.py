"""A memory on a real port that keeps the newest write of each key, and fails as it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Place = tuple[str, str, str]


@dataclass
class MemoryServer:
    """What it has, what it was asked, and how it answers."""

    url: str = ""
    kept: dict[Place, tuple[int, Any]] = field(default_factory=dict)
    """Version and payload by tenant, namespace and key."""
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Path and body of every request, in the order of their coming."""
    headers: list[dict[str, str]] = field(default_factory=list)
    connections: set[Any] = field(default_factory=set)
    status: int = 200
    statuses: list[int] = field(default_factory=list)
    """Of the next answers, one by one, before `status`."""
    tenant_status: dict[str, int] = field(default_factory=dict)
    ahead: int = 0
    """Added to the versions that it says it has."""
    body: bytes | None = None
    """Said instead of what is true."""
    seconds: float = 0.0
    """Taken for every answer."""
    hanging: threading.Event = field(default_factory=threading.Event)
    """Set: whoever hangs goes on."""
    hangs: set[str] = field(default_factory=set)
    """Tenants who get no answer while `hanging` is not set."""
    drips: bool = False
    """Whether an answer never ends, and comes a byte at a time."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, body: dict[str, Any]) -> dict[str, Any]:
        place = (body["tenant_id"], body["namespace"], body["key"])
        with self.lock:
            version, _ = self.kept.get(place, (0, None))
            if body["version"] > version:
                self.kept[place] = (body["version"], body["payload"])
            return {"version": self.kept[place][0] + self.ahead}

    def find(self, body: dict[str, Any]) -> dict[str, Any]:
        here = (body["tenant_id"], body["namespace"])
        found = [
            {"key": key, "payload": payload, "score": 1.0}
            for (*place, key), (_, payload) in sorted(self.kept.items())
            if tuple(place) == here and body["query"] in key
        ]
        return {"memories": found}

    def payload(self, key: str, *, tenant_id: str = "acme", namespace: str = "acme") -> Any:
        return self.kept[(tenant_id, namespace, key)][1]

    @property
    def writes(self) -> list[dict[str, Any]]:
        return [body for path, body in self.asked if path == "/v1/remember"]


@contextmanager
def serving() -> Iterator[MemoryServer]:
    memory = MemoryServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body in one packet, or the client's TCP stack waits 40 ms before it asks for the second.
        wbufsize = -1

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with memory.lock:
                memory.asked.append((self.path, body))
                memory.headers.append(dict(self.headers))
                memory.connections.add(self.client_address)
            if body["tenant_id"] in memory.hangs:
                memory.hanging.wait(60)
            time.sleep(memory.seconds)
            status = memory.tenant_status.get(body["tenant_id"], memory.status)
            if memory.statuses:
                status = memory.statuses.pop(0)
            if status == 200:
                said = memory.put(body) if self.path == "/v1/remember" else memory.find(body)
            else:
                said = {"error": f"as it was told: {status}"}
            self._say(status, json.dumps(said).encode() if memory.body is None else memory.body)

        def do_GET(self) -> None:
            self._say(memory.status, b"well")

        def _say(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(10_000 if memory.drips else len(body)))
            self.end_headers()
            self.wfile.write(b"" if memory.drips else body)
            self.wfile.flush()
            while memory.drips and not memory.hanging.wait(0.02):
                self.wfile.write(b" ")
                self.wfile.flush()

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Clients that give up, or are killed, are part of the tests."""

    server = Server(("127.0.0.1", 0), Handler)
    memory.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield memory
    finally:
        memory.hanging.set()
        server.shutdown()
        server.server_close()
        thread.join()
