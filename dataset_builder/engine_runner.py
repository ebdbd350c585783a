"""Chat requests from an event loop -> their answers, by an engine that runs many together in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from dataclasses import dataclass
from typing import Protocol


class EngineError(Exception):
    """The engine failed while requests ran: not the fault of any of them."""


@dataclass(frozen=True)
class Request:
    """One chat request: messages, bounds and sampling."""

    messages: list[dict[str, str]]
    max_tokens: int
    temperature: float
    top_p: float
    seed: int


@dataclass(frozen=True)
class Answer:
    """Its reply; tokens are the engine's own count. `finish_reason` is "stop" or "length"."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


class Engine(Protocol):
    """What runs requests together: `add` takes one, `step` advances all and hands back those that are done."""

    def add(self, number: int, request: Request) -> None:
        """Take a request under a number of the caller's; any error refuses that request alone."""

    def step(self) -> dict[int, Answer]:
        """Advance every request that runs; the answers of those that ended, by number."""

    def clear(self) -> None:
        """Forget every request that runs."""


class Runner:
    """Runs an engine in a thread of its own, so that requests may come from any event loop.

    Args:
        engine: what answers.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._incoming: queue.SimpleQueue[tuple[Request, asyncio.Future[Answer]]] = queue.SimpleQueue()
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._count = 0
        threading.Thread(target=self._run, daemon=True).start()

    async def answer(self, request: Request) -> Answer:
        """Answer one request.

        Raises:
            ValueError: the engine refused it.
            EngineError: the engine failed while it ran; the same request may succeed later.
        """
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._incoming.put((request, future))
        return await future

    def _run(self) -> None:
        while True:
            self._take()
            try:
                answers = self._engine.step() if self._waiting else {}
            except Exception as error:
                # Whoever waits must hear of it; the next requests may fare better.
                for number in list(self._waiting):
                    self._settle(number, EngineError(str(error)))
                with contextlib.suppress(Exception):
                    self._engine.clear()
                continue
            for number, answer in answers.items():
                self._settle(number, answer)

    def _take(self) -> None:
        """Add what has come; wait for it when nothing runs."""
        while True:
            try:
                request, future = self._incoming.get(timeout=0 if self._waiting else None)
            except queue.Empty:
                return
            self._count += 1
            self._waiting[self._count] = future
            try:
                self._engine.add(self._count, request)
            except Exception as error:
                self._settle(self._count, ValueError(str(error)))

    def _settle(self, number: int, outcome: Answer | Exception) -> None:
        future = self._waiting.pop(number, None)
        if future is None:
            return

        def settle() -> None:
            if future.done():
                return
            if isinstance(outcome, Answer):
                future.set_result(outcome)
            else:
                future.set_exception(outcome)

        # The loop is closed when whoever asked is gone.
        with contextlib.suppress(RuntimeError):
            future.get_loop().call_soon_threadsafe(settle)
