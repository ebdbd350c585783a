"""An HTTP server on loopback that speaks the part of the Hub's API that our tools use.

    with HubServer(tmp_path, {"hf_token": User("ann")}) as hub:
        ...HF_ENDPOINT=hub.url...

Routes live in table.py; faults are armed with `hub.faults.arm(Fault(...))`; `hub.log` lists every request.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub_server.faults import FaultList
from tests.hub_server.messages import Answer, Request
from tests.hub_server.store import HubError, HubStore, User
from tests.hub_server.table import find_route


@dataclass(frozen=True)
class Logged:
    """A request as it came: what tests count. `token`: whether one came along."""

    route: str
    method: str
    path: str
    status: int | str
    body_bytes: int
    token: bool


class HubServer:
    """The server, its store, its users by token, its faults and its log."""

    def __init__(self, folder: Path, users: dict[str, User]) -> None:
        self.store = HubStore(folder)
        self.users = users
        self.faults = FaultList()
        self.log: list[Logged] = []
        hub = self

        class Handler(_Handler):
            server_of = hub

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def requests_to(self, *routes: str) -> list[Logged]:
        return [entry for entry in self.log if entry.route in routes]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body are two writes; without this each answer waits 40 ms for an acknowledgement.
    disable_nagle_algorithm = True
    server_of: HubServer

    def _handle(self) -> None:
        hub = self.server_of
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        # Patterns see the quoted path, so that a revision "refs%2Fpr%2F1" stays one part.
        route, arguments = find_route(self.command, parts.path)
        fault = hub.faults.take(route.name, path)
        body = self._read_body(half=bool(fault and fault.action == "cut"))
        answer: Answer | None = None
        status: int | str
        if fault and fault.action == "cut":
            status = "cut"
        elif fault and isinstance(fault.action, int):
            answer = Answer(fault.action, {"error": "told to fail"}, dict(fault.headers))
            status = answer.status
        else:
            request = Request(
                hub.store, hub.url, hub.users, self._token(), self.command, body, parse_qs(parts.query),
                dict(self.headers),
            )  # fmt: skip
            try:
                answer = route.answer(request, *[unquote(argument) for argument in arguments])
            except HubError as error:
                headers = {"X-Error-Message": error.message}
                if error.code:
                    headers["X-Error-Code"] = error.code
                answer = Answer(error.status, {"error": error.message}, headers)
            status = answer.status
            if fault and fault.action == "lose":
                answer, status = None, "lost"
        # Logged before the answer leaves: whoever has the answer may look at the log at once.
        hub.log.append(Logged(route.name, self.command, self.path, status, len(body), self._token() is not None))
        if answer is None:
            self._hang_up()
        else:
            self._send(answer, short=bool(fault and fault.action == "short"))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _handle

    def _token(self) -> str | None:
        given = self.headers.get("Authorization", "")
        return given.removeprefix("Bearer ") if given.startswith("Bearer ") else None

    def _read_body(self, half: bool) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            chunks = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
                if half:
                    return b"".join(chunks)
            self.rfile.readline()
            return b"".join(chunks)
        length = int(self.headers.get("Content-Length") or 0)
        return self.rfile.read(length // 2 if half else length)

    def _send(self, answer: Answer, short: bool = False) -> None:
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        if not isinstance(answer.body, bytes):
            self.send_header("Content-Type", "application/json")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(answer.length if answer.length is not None else len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if short else body)
        if short:
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        # Closing with unread bytes resets the connection, as a broken line does.
        self.connection.shutdown(2)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing on stderr; the log is a list."""
