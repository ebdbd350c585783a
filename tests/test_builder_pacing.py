"""How fast requests are sent: a server that is crowded is given way, and a minute's bounds hold."""

import asyncio
import random
import time

import pytest

from dataset_builder.pacing import MAX_BACKOFF_S, RAISE_EVERY, AdaptiveConcurrency, MinuteBudget, backoff_s


def test_a_crowded_server_halves_the_limit_once_for_a_burst_and_ten_replies_raise_it_by_one():
    """16 -> 8 for three 429s within a second; then 10 replies: 9."""

    async def run():
        adaptive = AdaptiveConcurrency(16)
        for crowded in (True, True, True):
            await adaptive.acquire()
            await adaptive.release(crowded)
        assert adaptive.limit == 8
        for _ in range(RAISE_EVERY):
            await adaptive.acquire()
            await adaptive.release()
        assert adaptive.limit == 9
        assert adaptive.in_flight == 0

    asyncio.run(run())


def test_the_limit_ends_at_one_and_at_its_maximum():
    async def run():
        adaptive = AdaptiveConcurrency(2)
        for _ in range(3):
            adaptive._lowered_at = 0.0  # a second has passed
            await adaptive.acquire()
            await adaptive.release(crowded=True)
        assert adaptive.limit == 1
        for _ in range(5 * RAISE_EVERY):
            await adaptive.acquire()
            await adaptive.release()
        assert adaptive.limit == 2

    asyncio.run(run())


def test_no_more_than_the_limit_run_at_once():
    async def run():
        adaptive, most = AdaptiveConcurrency(3), 0

        async def one():
            nonlocal most
            await adaptive.acquire()
            most = max(most, adaptive.in_flight)
            await asyncio.sleep(0.001)
            await adaptive.release()

        await asyncio.gather(*(one() for _ in range(20)))
        return most

    assert asyncio.run(run()) == 3


def test_a_minute_bound_is_kept():
    """1,200 a minute are 20 a second, in a bucket of 5 seconds: 100 at once, and 20 more take one second."""

    async def run():
        budget = MinuteBudget(1200)
        started = time.monotonic()
        for _ in range(100):
            await budget.take(1)
        at_once = time.monotonic() - started
        for _ in range(20):
            await budget.take(1)
        return at_once, time.monotonic() - started

    at_once, all_of_it = asyncio.run(run())
    # A second for the twenty beyond the bucket, however slow the machine.
    assert all_of_it >= 0.9
    assert at_once < all_of_it - 0.5


def test_several_takers_share_a_bound():
    """At 100 a second the bucket holds 500: 10 x 30 are there at once, and twice that is 100 too many, one second."""

    async def run():
        budget = MinuteBudget(6000)
        started = time.monotonic()
        await asyncio.gather(*(budget.take(30) for _ in range(10)))
        quick = time.monotonic() - started
        await asyncio.gather(*(budget.take(30) for _ in range(10)))
        return quick, time.monotonic() - started

    quick, all_of_it = asyncio.run(run())
    assert all_of_it >= 0.8
    assert quick < all_of_it - 0.5


def test_without_a_bound_nothing_waits():
    async def run():
        budget = MinuteBudget(None)
        started = time.monotonic()
        for _ in range(1000):
            await budget.take(1_000_000)
        return time.monotonic() - started

    assert asyncio.run(run()) < 30


@pytest.mark.parametrize(
    ("tries", "low", "high"), [(1, 1.0, 2.0), (3, 4.0, 8.0), (50, MAX_BACKOFF_S / 2, MAX_BACKOFF_S)]
)
def test_waits_double_up_to_a_bound_with_jitter(tries, low, high):
    """Base 1: 2 to the power of tries, times 0.5 to 1."""
    waits = {backoff_s(tries, 1.0, random.Random(seed)) for seed in range(50)}
    assert all(low <= wait <= high for wait in waits)
    assert len(waits) == 50


@pytest.mark.parametrize("per_minute", [1, 2, 7, 12, 30, 60, 500])
def test_no_minute_sees_more_than_its_bound(monkeypatch, per_minute):
    """Four minutes at full speed: at most the bound in the 60 s from any request on, and nearly as many in each minute.

    The clock is the test's own: whoever sleeps moves it.
    """
    clock, sent = [0.0], []
    monkeypatch.setattr("dataset_builder.pacing.time.monotonic", lambda: clock[0])

    async def sleep(seconds):
        clock[0] += seconds

    async def run():
        budget = MinuteBudget(per_minute)
        while clock[0] < 240:
            await budget.take(1, sleep)
            sent.append(clock[0])

    asyncio.run(run())
    most = max(sum(start <= moment < start + 59.999 for moment in sent) for start in sent)
    assert most <= per_minute
    assert len(sent) >= 4 * per_minute * 0.9
