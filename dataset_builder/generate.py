"""Plan x client x journal -> every reply on file, with a progress bar, a budget and a clean stop.

What the journal has is not asked again. Whatever the server does, each request of the plan ends as answered, refused,
failed with a class, or not sent; only answers and refusals are kept, so that a resume repeats the rest.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tqdm import tqdm

from dataset_builder.chat_client import ChatClient, RefusedError, StopError, WaitError
from dataset_builder.journal import REFUSAL, REPLY, Entry, Journal
from dataset_builder.pacing import AdaptiveConcurrency, MinuteBudget, backoff_s
from dataset_builder.plan import MAX_ATTEMPTS, Ask, Endpoint, Plan, Sampling
from dataset_builder.replies import parse_reply

NOT_SENT = "not sent"
MAX_REFUSALS_AT_START = 5


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens, as the user states them."""

    usd_per_million_in: float = 0.0
    usd_per_million_out: float = 0.0

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Price of some tokens in US dollars."""
        return (prompt_tokens * self.usd_per_million_in + completion_tokens * self.usd_per_million_out) / 1e6


@dataclass(frozen=True)
class Limits:
    """How much, how fast and how patiently to send.

    `max_tries` bounds the tries of one request that end in an error other than "too much" (429, 503); `patience_s`
    bounds all waiting of one request. `attempts` is 1 + the times that a bad reply is asked again.
    """

    concurrency: int = 8
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    max_tries: int = 8
    patience_s: float = 3600.0
    backoff_base_s: float = 1.0
    attempts: int = MAX_ATTEMPTS
    budget_tokens: int | None = None
    budget_usd: float | None = None
    price: Price = field(default_factory=Price)


@dataclass
class Progress:
    """What happened so far. `spent_*` counts the plan's replies on file as well, each once."""

    sent: int = 0
    waits: Counter[str] = field(default_factory=Counter)
    failed: dict[int, str] = field(default_factory=dict)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reserved: int = 0
    reserved_usd: float = 0.0
    stopped: str = ""

    def spend(self, entry: Entry) -> None:
        """Count the tokens of a reply."""
        self.prompt_tokens += entry.prompt_tokens
        self.completion_tokens += entry.completion_tokens


@dataclass(frozen=True)
class Chain:
    """An ask with the replies that the journal has for it, first attempt first; `next_attempt` is None when done."""

    entries: tuple[Entry, ...]
    next_attempt: int | None


class Generation:
    """One run of a plan against a server and a journal.

    Args:
        plan: the requests.
        journal: where replies are kept.
        endpoint: who answers.
        sampling: how.
        limits: how much and how fast.
        language: two-letter code of the language that replies must be in.
    """

    def __init__(
        self, plan: Plan, journal: Journal, endpoint: Endpoint, sampling: Sampling, limits: Limits, language: str = "en"
    ) -> None:
        self.plan = plan
        self.journal = journal
        self.endpoint = endpoint
        self.sampling = sampling
        self.limits = limits
        self.language = language
        self.progress = Progress()
        self._jitter = random.Random(plan.asks[0].seed if plan.asks else 0)
        self._refused_at_start = 0

    def chain(self, ask: Ask) -> Chain:
        """What the journal has for an ask."""
        entries: list[Entry] = []
        for attempt in range(self.limits.attempts):
            entry = self.journal.get(ask.key(self.endpoint, self.sampling, attempt))
            if entry is None:
                return Chain(tuple(entries), attempt)
            entries.append(entry)
            if entry.settled:
                break
        return Chain(tuple(entries), None)

    def missing(self) -> list[tuple[int, int]]:
        """(index of the ask, attempt to make) for everything that the journal lacks; counts what is there as spent."""
        todo = []
        for index, ask in enumerate(self.plan.asks):
            chain = self.chain(ask)
            for entry in chain.entries:
                self.progress.spend(entry)
            if chain.next_attempt is not None:
                todo.append((index, chain.next_attempt))
        return todo

    def run(self, client: ChatClient) -> Progress:
        """Ask for everything that is missing.

        Raises:
            StopError: the server says no to everything.
            StageError: the journal cannot be written.
        """
        todo = self.missing()
        if todo:
            asyncio.run(self._run(todo, client))
        return self.progress

    async def _run(self, todo: list[tuple[int, int]], client: ChatClient) -> None:
        self._stop = asyncio.Event()
        self._pause_until = 0.0
        self._adaptive = AdaptiveConcurrency(self.limits.concurrency)
        self._requests = MinuteBudget(self.limits.requests_per_minute)
        self._tokens = MinuteBudget(self.limits.tokens_per_minute)
        queue = iter(todo)
        total = len(self.plan.asks)
        # A log file gets a line every half minute instead of a screen's ten a second.
        pause_s = 0.2 if sys.stderr.isatty() else 30.0
        with tqdm(
            total=total, initial=total - len(todo), desc="asking", unit="req", smoothing=0.05, mininterval=pause_s
        ) as bar:
            with self._signals():
                workers = [asyncio.create_task(self._work(queue, client, bar)) for _ in range(self.limits.concurrency)]
                try:
                    await asyncio.gather(*workers)
                finally:
                    for worker in workers:
                        worker.cancel()
                    await asyncio.gather(*workers, return_exceptions=True)
                    await client.close()
        for index, _ in queue:
            self.progress.failed[index] = NOT_SENT

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """A first Ctrl-C lets what is in flight finish; a second one ends at once."""
        loop = asyncio.get_running_loop()

        def interrupt() -> None:
            self._halt("interrupted")
            loop.remove_signal_handler(signal.SIGINT)

        try:
            loop.add_signal_handler(signal.SIGINT, interrupt)
            loop.add_signal_handler(signal.SIGTERM, interrupt)
            caught = True
        except (ValueError, NotImplementedError, RuntimeError):
            caught = False  # not the main thread, or a platform without signals
        try:
            yield
        finally:
            if caught:
                loop.remove_signal_handler(signal.SIGINT)
                loop.remove_signal_handler(signal.SIGTERM)

    def _halt(self, reason: str) -> None:
        self.progress.stopped = self.progress.stopped or reason
        self._stop.set()

    async def _work(self, queue: Iterator[tuple[int, int]], client: ChatClient, bar: tqdm) -> None:  # type: ignore[type-arg]
        for index, first in queue:
            if self._stop.is_set():
                self.progress.failed[index] = NOT_SENT
                return
            ask = self.plan.asks[index]
            for attempt in range(first, self.limits.attempts):
                entry = await self._answer(index, ask, attempt, client)
                if entry is None or entry.settled:
                    break
            bar.update(1)
            bar.set_postfix(self._postfix(), refresh=False)

    async def _answer(self, index: int, ask: Ask, attempt: int, client: ChatClient) -> Entry | None:
        """Send one attempt until it is answered, refused, or out of tries; None when nothing is kept."""
        cost = self._reserve(ask)
        if cost is None:
            self.progress.failed[index] = NOT_SENT
            self._halt("budget")
            return None
        try:
            entry = await self._try(index, ask, attempt, client)
        finally:
            self._unreserve(cost)
        if entry is not None:
            self.journal.put(entry)
            self.progress.spend(entry)
        return entry

    async def _try(self, index: int, ask: Ask, attempt: int, client: ChatClient) -> Entry | None:
        started, tries, kind = time.monotonic(), 0, NOT_SENT
        while not self._stop.is_set():
            wait = None
            await self._turn(ask)
            crowded = False
            try:
                if self._stop.is_set():
                    break
                return await self._send(ask, attempt, client)
            except RefusedError as error:
                return self._refusal(ask, attempt, str(error))
            except WaitError as error:
                crowded, kind, wait = error.crowded, error.kind, error.retry_after_s
            finally:
                await self._adaptive.release(crowded)
            self.progress.waits[kind] += 1
            tries += not crowded
            pause = backoff_s(tries, self.limits.backoff_base_s, self._jitter) if wait is None else wait
            if crowded and wait is not None:
                self._pause_until = max(self._pause_until, time.monotonic() + wait)
            if tries >= self.limits.max_tries or time.monotonic() + pause - started > self.limits.patience_s:
                break
            await self._sleep(pause)
        self.progress.failed[index] = kind
        return None

    async def _turn(self, ask: Ask) -> None:
        """Wait for the pause the server asked for, the minute's limits and a free place."""
        await self._sleep(self._pause_until - time.monotonic())
        await self._requests.take(1)
        await self._tokens.take(ask.prompt_tokens + ask.max_tokens(self.sampling))
        await self._adaptive.acquire()

    async def _send(self, ask: Ask, attempt: int, client: ChatClient) -> Entry:
        self.progress.sent += 1
        reply = await client.ask(
            messages=ask.messages,
            max_tokens=ask.max_tokens(self.sampling),
            temperature=self.sampling.temperature,
            top_p=self.sampling.top_p,
            seed=ask.seed_of(attempt),
            json_schema=self.sampling.json_schema,
        )
        self._refused_at_start = -1
        parsed = parse_reply(reply.text, len(ask.styles), reply.finish_reason, self.language)
        return Entry(
            key=ask.key(self.endpoint, self.sampling, attempt),
            kind=REPLY,
            # A runaway reply is kept as the fault that it is, not as a megabyte.
            text=reply.text[: 2 * 20_000],
            finish_reason=reply.finish_reason,
            prompt_tokens=reply.prompt_tokens or ask.prompt_tokens,
            completion_tokens=reply.completion_tokens or max(1, len(reply.text) // 4),
            settled=parsed.complete or attempt == MAX_ATTEMPTS - 1,
            about=ask.about,
        )

    def _refusal(self, ask: Ask, attempt: int, text: str) -> Entry:
        if self._refused_at_start >= 0:
            self._refused_at_start += 1
            if self._refused_at_start >= MAX_REFUSALS_AT_START:
                raise StopError(f"the server refused the first {MAX_REFUSALS_AT_START} requests: {text}")
        key = ask.key(self.endpoint, self.sampling, attempt)
        return Entry(key, REFUSAL, text, "", 0, 0, True, ask.about)

    def _reserve(self, ask: Ask) -> tuple[int, float] | None:
        """Set aside what a request may cost at most; None when the budget does not allow it."""
        out = ask.max_tokens(self.sampling)
        tokens, usd = ask.prompt_tokens + out, self.limits.price.of(ask.prompt_tokens, out)
        now, limits = self.progress, self.limits
        spent = now.prompt_tokens + now.completion_tokens + now.reserved
        spent_usd = limits.price.of(now.prompt_tokens, now.completion_tokens) + now.reserved_usd
        if limits.budget_tokens is not None and spent + tokens > limits.budget_tokens:
            return None
        if limits.budget_usd is not None and spent_usd + usd > limits.budget_usd:
            return None
        now.reserved += tokens
        now.reserved_usd += usd
        return tokens, usd

    def _unreserve(self, cost: tuple[int, float]) -> None:
        self.progress.reserved -= cost[0]
        self.progress.reserved_usd -= cost[1]

    async def _sleep(self, seconds: float) -> None:
        """Sleep, or wake up early when the run is to stop."""
        if seconds <= 0:
            return
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return

    def _postfix(self) -> dict[str, str]:
        now = self.progress
        shown = {"tokens": f"{(now.prompt_tokens + now.completion_tokens) / 1e6:.2f}M"}
        usd = self.limits.price.of(now.prompt_tokens, now.completion_tokens)
        if usd:
            shown["usd"] = f"{usd:.2f}"
        if now.waits:
            shown["waits"] = str(now.waits.total())
        return shown
