"""How fast to send: concurrency that gives way when the server is crowded, and requests and tokens a minute."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

RAISE_EVERY = 10
MAX_BACKOFF_S = 60.0


class AdaptiveConcurrency:
    """Requests in flight: additive increase, multiplicative decrease, up to `maximum`.

    A crowded server halves the limit, at most once a second, so that one burst of 429 counts once; after every
    RAISE_EVERY replies the limit rises by one.
    """

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self.limit = maximum
        self.in_flight = 0
        self._good = 0
        self._lowered_at = 0.0
        self._changed = asyncio.Condition()

    async def acquire(self) -> None:
        """Wait until one more request may be sent."""
        async with self._changed:
            while self.in_flight >= self.limit:
                await self._changed.wait()
            self.in_flight += 1

    async def release(self, crowded: bool = False) -> None:
        """A request came back; `crowded` when the server said that it gets too much."""
        now = time.monotonic()
        async with self._changed:
            self.in_flight -= 1
            if crowded:
                self._good = 0
                if now - self._lowered_at > 1.0:
                    self.limit, self._lowered_at = max(1, self.limit // 2), now
            else:
                self._good += 1
                if self._good >= RAISE_EVERY and self.limit < self.maximum:
                    self.limit, self._good = self.limit + 1, 0
            self._changed.notify_all()


class MinuteBudget:
    """At most `per_minute` of something in any 60 s, as a bucket that fills evenly; None means no bound.

    Amounts are whole numbers. One that is larger than the bucket may bring a minute above the bound, by less than
    itself.
    """

    def __init__(self, per_minute: float | None) -> None:
        self._rate_per_s: float | None = None
        self._size = 0.0
        if per_minute:
            self._size, self._rate_per_s = bucket_of(per_minute)
        self._level = self._size
        self._filled_at = time.monotonic()

    async def take(self, amount: float, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Wait until `amount` may be used, and use it; `sleep` may wake up early when the run is to stop."""
        if self._rate_per_s is None:
            return
        now = time.monotonic()
        self._level = min(self._size, self._level + (now - self._filled_at) * self._rate_per_s)
        self._filled_at = now
        # The level may go below zero: the next taker then waits for the debt as well.
        self._level -= amount
        if self._level < 0:
            await sleep(-self._level / self._rate_per_s)


def bucket_of(per_minute: float) -> tuple[float, float]:
    """Size of a minute's bucket, and what flows into it each second: together less than `per_minute` + 1 in 60 s."""
    size = max(1.0, per_minute / 12)  # five seconds' worth lets a start be quick
    return size, (per_minute + 1 - size) / 60


def backoff_s(tries: int, base_s: float, jitter: random.Random) -> float:
    """Seconds to wait after the given number of failed tries: doubling, capped, with full jitter above half."""
    return min(MAX_BACKOFF_S, base_s * 2.0 ** min(tries, 20)) * (0.5 + jitter.random() / 2)
