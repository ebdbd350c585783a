"""An ask of the plan -> a journal entry, however often the server says "not now", within limits and budget."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import datetime, timedelta

from dataset_builder.chat_client import ChatClient, RefusedError, Reply, StopError, WaitError
from dataset_builder.journal import REFUSAL, REPLY, Entry
from dataset_builder.limits import Limits, Progress, reply_bound
from dataset_builder.pacing import AdaptiveConcurrency, MinuteBudget, backoff_s
from dataset_builder.plan import MAX_ATTEMPTS, Ask, Endpoint, Sampling
from dataset_builder.replies import MAX_REPLY_CHARACTERS, parse_reply

NOT_SENT = "not sent"
BUDGET_USED_UP = "budget used up"
# So many refusals in a row, before the first reply and after it, mean that something general is wrong.
MAX_REFUSALS_AT_START = 5
MAX_REFUSALS_IN_A_ROW = 25
# So many tries that met no API, and three for each place in flight, mean that the address is wrong.
MIN_STRAY_TRIES = 10
# So many waits longer than the patience in a row, and one for each place in flight, mean that it is over for today.
MIN_LONG_WAITS = 3
YEAR_S = 365 * 86_400.0
# Errors after which the provider may well send a bill: they count by the most that the reply can have cost. So does a
# connection that was lost after the request was sent.
PAID_KINDS = ("timeout", "broken json", "empty body", "json without a reply", "reply over 4 MB")
LOOK_S = 0.05  # between two looks whether the budget has room, while something is in flight
WITH_WAIT = "with retry-after"  # of an error that says when to come back, in the count of waits


class Sender:
    """Sends asks for several workers at once; make it inside the running event loop.

    Args:
        client: the server.
        endpoint: who it is, for the journal's keys.
        sampling: how the model is sampled.
        limits: how much and how fast.
        progress: counts everything that happens.
        language: two-letter code of the language that replies must be in.
        seed: seed of the waiting times' jitter.
    """

    def __init__(
        self,
        client: ChatClient,
        endpoint: Endpoint,
        sampling: Sampling,
        limits: Limits,
        progress: Progress,
        language: str,
        seed: int,
    ) -> None:
        self._client, self._endpoint, self._sampling = client, endpoint, sampling
        self._limits, self._progress, self._language = limits, progress, language
        self.stopping = asyncio.Event()
        self._jitter = random.Random(seed)
        self._adaptive = AdaptiveConcurrency(limits.concurrency)
        self._requests = MinuteBudget(limits.requests_per_minute)
        self._tokens = MinuteBudget(limits.tokens_per_minute)
        self._pause_until = 0.0
        self._replied = False
        self._refused_in_a_row = 0
        self._long_waits_in_a_row = 0

    def stop(self, reason: str) -> None:
        """Send nothing more; what is in flight may finish."""
        self._progress.stopped = self._progress.stopped or reason
        self.stopping.set()

    async def answer(self, ask: Ask, attempt: int) -> Entry | str:
        """Send one attempt until it is answered or refused.

        Returns:
            The entry to keep, or the class of error when there is none.

        Raises:
            StopError: the server says no to everything, or there is none.
        """
        bound = self._bound(ask)
        while not self._progress.fits(*bound, self._limits):
            if not self._in_flight:
                self.stop(BUDGET_USED_UP)
            if self.stopping.is_set():
                return NOT_SENT
            await self._sleep(LOOK_S)  # what is in flight may turn out to be much shorter
            bound = self._bound(ask)
        self._progress.reserved.add(*bound)
        try:
            return await self._try(ask, attempt)
        finally:
            self._progress.reserved.add(-bound[0], -bound[1])

    @property
    def _in_flight(self) -> bool:
        return self._progress.reserved.prompt > 0

    def _bound(self, ask: Ask) -> tuple[int, int]:
        return self._progress.bound(ask, self._sampling, alone=not self._in_flight)

    async def _try(self, ask: Ask, attempt: int) -> Entry | str:
        patient_until = time.monotonic() + self._limits.patience_s
        tries, kind = 0, NOT_SENT
        while True:
            await self._turn(ask)
            if self.stopping.is_set():
                await self._adaptive.release()
                return kind
            crowded = False
            try:
                reply = await self._send(ask, attempt)
            except StopError:
                self.stopping.set()  # before the place is free for another request
                raise
            except RefusedError as error:
                return self._refusal(ask, attempt, str(error))
            except WaitError as error:
                reply = None
                crowded, kind, wait_s = error.crowded, error.kind, error.retry_after_s
                until = time.monotonic() + (wait_s or 0.0)
                if crowded and until <= patient_until:  # before the place is free for another request
                    self._pause_until = max(self._pause_until, until)
                self._count(kind, wait_s, ask)
            finally:
                await self._adaptive.release(crowded)
            if reply is not None:
                await asyncio.sleep(0)  # who waits for the place sends before this reply is read
                return entry_of(ask, attempt, reply, self._endpoint, self._sampling, self._language)
            tries += not crowded
            now = time.monotonic()
            # A server that says 0, or a date that is past, says no more than one that says nothing.
            wait_s = wait_s or backoff_s(tries, self._limits.backoff_base_s, self._jitter)
            if tries >= self._limits.max_tries or now + wait_s > patient_until:
                return kind
            await self._sleep(wait_s)

    def _count(self, kind: str, wait_s: float | None, ask: Ask) -> None:
        """Count a try without a reply, and stop the run when that is one too many.

        Raises:
            StopError: no try of this run has met an API.
        """
        waits = self._progress.waits
        waits[kind if wait_s is None else f"{kind} {WITH_WAIT}"] += 1
        if kind in PAID_KINDS or kind.startswith("connection"):
            self._progress.lost.add(*self._progress.bound(ask, self._sampling, alone=True))
            if not self._progress.fits(0, 0, self._limits):  # with what is reserved for the next try
                self.stop(BUDGET_USED_UP)
        if wait_s is not None and wait_s > self._limits.patience_s:
            self._long_waits_in_a_row += 1
            if self._long_waits_in_a_row >= max(MIN_LONG_WAITS, self._limits.concurrency):
                moment = datetime.now().astimezone() + timedelta(seconds=min(wait_s, YEAR_S))
                self.stop(f"the server asks to come back at {moment:%Y-%m-%d %H:%M %Z}")
        met = self._replied or self._refused_in_a_row or not all(map(_is_stray, waits))
        if not met and waits.total() >= max(MIN_STRAY_TRIES, 3 * self._limits.concurrency):
            self.stopping.set()
            which = ", ".join(f"{kind}: {count}" for kind, count in waits.most_common())
            remedy = "Check --base-url (most end in /v1), and that the server is up"
            raise StopError(f"none of the first {waits.total()} requests met an API ({which})", remedy)

    async def _turn(self, ask: Ask) -> None:
        """Wait for the pause that the server asked for, the minute's limits and a free place."""
        await self._pause()
        await self._requests.take(1, self._sleep)
        await self._tokens.take(ask.prompt_tokens + reply_bound(len(ask.styles), self._sampling), self._sleep)
        await self._adaptive.acquire()
        await self._pause()  # which another reply may have asked for meanwhile

    async def _pause(self) -> None:
        while (seconds := self._pause_until - time.monotonic()) > 0 and not self.stopping.is_set():
            await self._sleep(seconds)

    async def _send(self, ask: Ask, attempt: int) -> Reply:
        self._progress.sent += 1
        reply = await self._client.ask(
            messages=ask.messages,
            max_tokens=ask.max_tokens(self._sampling),
            temperature=self._sampling.temperature,
            top_p=self._sampling.top_p,
            seed=ask.seed_of(attempt),
            json_schema=self._sampling.json_schema,
        )
        self._replied, self._refused_in_a_row, self._long_waits_in_a_row = True, 0, 0
        return reply

    def _refusal(self, ask: Ask, attempt: int, text: str) -> Entry:
        self._refused_in_a_row += 1
        most = MAX_REFUSALS_IN_A_ROW if self._replied else MAX_REFUSALS_AT_START
        if self._refused_in_a_row >= most:
            which = f"{most} requests in a row" if self._replied else f"the first {most} requests"
            self.stopping.set()
            raise StopError(f"the server refused {which} ({text})", "Replies are kept, these refusals are not")
        key = ask.key(self._endpoint, self._sampling, attempt)
        return Entry(key, REFUSAL, text, "", 0, 0, True, ask.about)

    async def _sleep(self, seconds: float) -> None:
        """Sleep, or wake up early when the run is to stop."""
        if seconds > 0 and not self.stopping.is_set():
            try:
                await asyncio.wait_for(self.stopping.wait(), seconds)
            except TimeoutError:
                return


def _is_stray(kind: str) -> bool:
    """Whether an error may mean that no API is at this address: nobody is there, or somebody who shows web pages."""
    return "connection" in kind or kind == "html body"


def entry_of(ask: Ask, attempt: int, reply: Reply, endpoint: Endpoint, sampling: Sampling, language: str) -> Entry:
    """The journal's entry for a reply, settled when every line asked for is there."""
    parsed = parse_reply(reply.text, len(ask.styles), reply.finish_reason, language)
    return Entry(
        key=ask.key(endpoint, sampling, attempt),
        kind=REPLY,
        # A runaway reply is kept as the fault that it is, not as a megabyte.
        text=reply.text[: MAX_REPLY_CHARACTERS + 1],
        finish_reason=reply.finish_reason,
        prompt_tokens=reply.prompt_tokens or ask.prompt_tokens,
        completion_tokens=reply.completion_tokens or max(1, len(reply.text) // 4),
        settled=parsed.complete or attempt == MAX_ATTEMPTS - 1,
        about=ask.about,
    )
