"""A stand-in for a chat server on this machine, with a fixed latency and, when asked, every fault that servers have.

    python -m dataset_builder.stub_server --port 8911 --latency 0.2

The same request gets the same lines. It counts what it was asked, so that tests can tell what was asked twice.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from dataset_builder.contract import run_command

VERBS = "plan check repair clean measure sell design teach write test move paint cut guide feed record".split()
NOUNS = "machines reports clients animals budgets fabrics meals engines patients lessons samples gardens maps".split()
PLACES = "workshop office hospital farm laboratory school warehouse studio kitchen harbour museum bakery".split()
TIMES = "morning week month season evening shift year quarter Monday weekend".split()

WAITING_FAULTS = (
    *("429", "429 with retry-after", "500", "503", "reset", "hang", "drip"),
    *("truncated json", "html", "empty body"),
)
DRIPS = 20  # bytes that come one by one while a reply drips
TEXT_FAULTS = (
    *("refusal", "1 MB reply", "wrong language", "empty reply"),
    *("fewer lines", "repeated lines", "truncated lines", "preamble"),
)
_STATUS = {200: "OK", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests", 500: "Internal Server Error"}


@dataclass
class StubBehaviour:
    """How the server answers.

    `fault_share` of the requests get a fault; those from number `bad_from` up to `bad_to` get one in 9 of 10 cases.
    A reply that hangs says nothing for `hang_s`; one that drips sends a byte now and then in that time.
    `status` other than 200 answers everything with that error. `bytes_per_token` is how its tokeniser counts prompts;
    `reply_tokens` is what it counts for each reply, whatever was asked for, as a model that thinks does.
    """

    latency_s: float = 0.0
    faults: Sequence[str] = WAITING_FAULTS + TEXT_FAULTS
    fault_share: float = 0.0
    bad_from: int = 0
    bad_to: int = 0
    hang_s: float = 30.0
    retry_after_s: float = 0.05
    status: int = 200
    lines: int = 4
    bytes_per_token: float = 4.0
    reply_tokens: int | None = None
    seed: int = 1


@dataclass
class StubServer:
    """The server, in a thread of its own while the `with` block lasts."""

    behaviour: StubBehaviour = field(default_factory=StubBehaviour)
    port: int = 0

    def __post_init__(self) -> None:
        self.requests = 0
        self.answered: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.authorizations: set[str] = set()
        self._random = random.Random(self.behaviour.seed)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()

    @property
    def url(self) -> str:
        """Base URL for a client."""
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> StubServer:
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._connection, "127.0.0.1", self.port))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return  # the last one when the server ends
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Read one request and answer it; False when the connection is to end."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        headers = {name.lower(): value for name, value in headers.items()}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.authorizations.add(headers.get("authorization", ""))
        self.requests += 1
        come = self._loop.time()
        fault = self._fault()
        status, content, extra = self._answer(body, fault)
        if self.behaviour.latency_s:
            # What the answer itself took is part of the latency.
            await asyncio.sleep(self.behaviour.latency_s - (self._loop.time() - come))
        if fault:
            self.faults[fault] += 1
        if fault == "reset":
            writer.transport.abort()
            return False
        if fault in ("hang", "drip"):
            if fault == "drip":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
            for _ in range(DRIPS):
                await asyncio.sleep(self.behaviour.hang_s / DRIPS)
                writer.write(b" " if fault == "drip" else b"")
                await writer.drain()
            return False
        reason = _STATUS.get(status, "Error")
        kind = "text/html" if fault == "html" else "application/json"
        head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n{extra}\r\n"
        writer.write(head.encode() + content)
        await writer.drain()
        return True

    def _fault(self) -> str | None:
        behaviour = self.behaviour
        bad = behaviour.bad_from <= self.requests < behaviour.bad_to
        share = 0.9 if bad else behaviour.fault_share
        return self._random.choice(list(behaviour.faults)) if self._random.random() < share else None

    def _answer(self, body: bytes, fault: str | None) -> tuple[int, bytes, str]:
        """Status, body and further header lines."""
        if self.behaviour.status != 200:
            return self.behaviour.status, b'{"error": {"message": "the stub says no", "code": "stub"}}', ""
        if fault and fault[:3].isdigit():
            extra = f"Retry-After: {self.behaviour.retry_after_s}\r\n" if "retry-after" in fault else ""
            return int(fault[:3]), b'{"error": {"message": "not now"}}', extra
        if fault == "html":
            return 200, b"<html><body>gateway</body></html>", ""
        if fault == "empty body":
            return 200, b"", ""
        request = json.loads(body)
        text = reply_text(request, self.behaviour.lines, fault)
        if fault is None:
            self.answered[hashlib.sha256(body).hexdigest()] += 1
        message = {"role": "assistant", "content": text}
        written = len(text) // 4 if self.behaviour.reply_tokens is None else self.behaviour.reply_tokens
        usage = {"prompt_tokens": int(len(body) / self.behaviour.bytes_per_token), "completion_tokens": written}
        reason = "length" if fault == "truncated lines" else "stop"
        reply = {"choices": [{"message": message, "finish_reason": reason}], "usage": usage}
        content = json.dumps(reply).encode()
        return 200, content[: len(content) // 2] if fault == "truncated json" else content, ""


def reply_text(request: dict[str, object], lines: int, fault: str | None = None) -> str:
    """Lines that depend on the request alone, as JSON where it has a schema, or what a fault makes of them."""
    if fault == "refusal":
        return "I'm sorry, but I cannot assist with that request."
    if fault == "empty reply":
        return ""
    if fault == "wrong language":
        return (
            "1. Sie planen jede Woche die Arbeit unserer Werkstatt.\n2. Sie sprechen täglich mit Kunden und Kollegen."
        )
    rng = random.Random(json.dumps([request["messages"], request.get("seed")]))
    pick = [
        f"You {rng.choice(VERBS)} {rng.choice(NOUNS)} and {rng.choice(VERBS)} {rng.choice(NOUNS)} "
        f"in our {rng.choice(PLACES)} every {rng.choice(TIMES)}."
        for _ in range(lines)
    ]
    if fault is None and "response_format" in request:
        return json.dumps({"lines": pick})
    if fault == "repeated lines":
        pick = pick[:1] * lines
    text = "\n".join(f"{number}. {line}" for number, line in enumerate(pick, 1))
    if fault == "1 MB reply":
        return text * (1_000_000 // len(text))
    if fault == "fewer lines":
        return text.split("\n")[0]
    if fault == "truncated lines":
        return text[:-8]
    return f"Sure! Here are the lines:\n{text}" if fault == "preamble" else text


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: serve until stopped."""
    parser = argparse.ArgumentParser(
        prog="python -m dataset_builder.stub_server", description="A local stand-in server"
    )
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each reply")
    parser.add_argument("--fault-share", type=float, default=0.0, help="share of requests that get a fault")
    options = parser.parse_args(arguments)
    behaviour = StubBehaviour(latency_s=options.latency, fault_share=options.fault_share)
    with StubServer(behaviour, options.port) as server:
        print(server.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    sys.exit(run_command(main))
