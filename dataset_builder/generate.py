"""Plan x client x journal -> every reply on file, with a progress bar, a budget and a clean stop.

What the journal has is not asked again. Whatever the server does, each request of the plan ends as answered, refused,
failed with a class, or not sent; only answers and refusals are kept, so that a resume repeats the rest.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tqdm import tqdm

from dataset_builder.chat_client import ChatClient, StopError
from dataset_builder.collector import collector_paused
from dataset_builder.journal import REFUSAL, Entry, Journal
from dataset_builder.languages import prepare_languages
from dataset_builder.limits import Limits, Progress
from dataset_builder.plan import MAX_ATTEMPTS, Ask, Endpoint, Plan, Sampling
from dataset_builder.sending import NOT_SENT, Sender
from dataset_builder.useless_replies import UselessReplies

# So many places in flight have one worker more, who waits with the next request while a reply is read and written down.
PLACES_PER_SPARE_WORKER = 8
BLOCK = 10_000  # asks looked up at once: few reads, and memory for few replies


@dataclass(frozen=True)
class Chain:
    """An ask with the replies that the journal has for it, first attempt first; `next_attempt` is None when done.

    The attempt before one that is on file may be missing: its row was damaged.
    """

    entries: tuple[Entry, ...]
    next_attempt: int | None

    @property
    def is_refused(self) -> bool:
        """Whether the server has answered nothing but no."""
        return {entry.kind for entry in self.entries} == {REFUSAL}


class Generation:
    """One run of a plan against a server and a journal.

    Args:
        plan: the requests.
        journal: where replies are kept.
        endpoint: who answers.
        sampling: how.
        limits: how much and how fast.
        language: two-letter code of the language that replies must be in.
        later: requests that further rounds may make; those that are on file count as spent.

    `refused` has the indices of the plan's requests that the server refused for good, as far as `missing` and `run` met
    them.
    """

    def __init__(
        self,
        plan: Plan,
        journal: Journal,
        endpoint: Endpoint,
        sampling: Sampling,
        limits: Limits,
        language: str = "en",
        later: Sequence[Ask] = (),
    ) -> None:
        self.plan = plan
        self.journal = journal
        self.endpoint = endpoint
        self.sampling = sampling
        self.limits = limits
        self.language = language
        self.later = later
        self.progress = Progress()
        self.refused: set[int] = set()
        self._held: list[Entry] = []
        self._no: StopError | None = None
        self._useless = UselessReplies(language, self._has_usable, journal.path)

    def chains(self) -> Iterator[Chain]:
        """What the journal has for each ask, in the plan's order."""
        return self._chains_of(self.plan.asks)

    def _chains_of(self, asks: Sequence[Ask]) -> Iterator[Chain]:
        for start in range(0, len(asks), BLOCK):
            yield from self._look_up(asks[start : start + BLOCK])

    def _look_up(self, asks: Sequence[Ask]) -> list[Chain]:
        """Every attempt on file up to a settled one, however often a bad reply may be asked again from now on."""
        entries: list[list[Entry]] = [[] for _ in asks]
        next_attempt: list[int | None] = [None] * len(asks)
        unsettled = list(range(len(asks)))
        for attempt in range(MAX_ATTEMPTS):
            keys = [asks[index].key(self.endpoint, self.sampling, attempt) for index in unsettled]
            found = self.journal.get_many(keys)
            looking, unsettled = unsettled, []
            for index, key in zip(looking, keys, strict=True):
                entry = found.get(key)
                if entry is not None:
                    entries[index].append(entry)
                elif next_attempt[index] is None and attempt < self.limits.attempts:
                    next_attempt[index] = attempt
                # Behind a damaged row further attempts may lie, behind none there is none.
                if key in self.journal.damaged if entry is None else not entry.settled:
                    unsettled.append(index)
        return [Chain(tuple(those), attempt) for those, attempt in zip(entries, next_attempt, strict=True)]

    def missing(self) -> list[tuple[int, int]]:
        """(index of the ask, attempt to make) for everything that the journal lacks; counts what is there as spent."""
        todo = []
        self.refused.clear()
        self.progress.prompt_tokens = self.progress.completion_tokens = 0
        with collector_paused():
            for index, chain in enumerate(self.chains()):
                for entry in chain.entries:
                    self.progress.spend(entry, self.plan.asks[index])
                if chain.is_refused:
                    self.refused.add(index)
                if chain.next_attempt is not None:
                    todo.append((index, chain.next_attempt))
            for ask, chain in zip(self.later, self._chains_of(self.later), strict=True):
                for entry in chain.entries:
                    self.progress.spend(entry, ask)
        return todo

    def run(self, client: ChatClient, todo: list[tuple[int, int]] | None = None) -> Progress:
        """Ask for everything that is missing: `todo`, where `missing` has been called before.

        Raises:
            StopError: the server says no to everything, or its first replies have no usable line.
            StageError: the journal, or a temporary file, cannot be written.
        """
        todo = self.missing() if todo is None else todo
        if todo:
            prepare_languages()  # before the first reply waits for it, and with it all others
            asyncio.run(self._run(todo, client))
        return self.progress

    async def _run(self, todo: list[tuple[int, int]], client: ChatClient) -> None:
        sender = Sender(
            client, self.endpoint, self.sampling, self.limits, self.progress, self.language, self.plan.asks[0].seed
        )
        queue = iter(todo)
        total = len(self.plan.asks)
        # A log file gets a line every half minute instead of a screen's five a second.
        pause_s = 0.2 if sys.stderr.isatty() else 30.0
        bar = tqdm(
            total=total, initial=total - len(todo), desc="asking", unit="req", smoothing=0.05, mininterval=pause_s
        )
        with bar, self._signals(sender):
            places = self.limits.concurrency
            count = places + places // PLACES_PER_SPARE_WORKER
            workers = [asyncio.create_task(self._work(queue, sender, bar)) for _ in range(count)]
            try:
                await asyncio.gather(*workers)
                if self._no:
                    raise self._no
                if not sender.stopping.is_set():
                    self._put_held()
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
                await client.close()
        for index, _ in queue:
            self.progress.failed[index] = NOT_SENT

    @contextmanager
    def _signals(self, sender: Sender) -> Iterator[None]:
        """A first Ctrl-C lets what is in flight finish; a second one ends at once."""
        loop = asyncio.get_running_loop()

        def interrupt() -> None:
            sender.stop("interrupted")
            loop.remove_signal_handler(signal.SIGINT)
            tqdm.write("Stopping when what is in flight is answered; Ctrl-C again loses it.", file=sys.stderr)

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

    async def _work(self, queue: Iterator[tuple[int, int]], sender: Sender, bar: tqdm) -> None:  # type: ignore[type-arg]
        for index, first in queue:
            if sender.stopping.is_set():
                self.progress.failed[index] = NOT_SENT
                return
            for attempt in range(first, self.limits.attempts):
                ask = self.plan.asks[index]
                if attempt > first and (known := self._on_file(ask, attempt)):
                    if known.settled:
                        break
                    continue
                try:
                    if self._take(await sender.answer(ask, attempt), index, attempt):
                        break
                except StopError as no:
                    # What is in flight is paid for: it may finish before the run ends with this.
                    self._no = self._no or no
                    sender.stop("the server says no")
                    return
            bar.update(1)
            bar.set_postfix(self._postfix(), refresh=False)

    def _on_file(self, ask: Ask, attempt: int) -> Entry | None:
        """The entry of an attempt after one that is damaged; `missing` has counted its tokens."""
        return self.journal.get(ask.key(self.endpoint, self.sampling, attempt))

    def _take(self, entry: Entry | str, index: int, attempt: int) -> bool:
        """Keep what became of an attempt, or note the class of error; whether nothing more is to be asked.

        Raises:
            StopError: none of the first replies had a usable line.
        """
        if isinstance(entry, str):
            self.progress.failed[index] = entry
            return True
        ask = self.plan.asks[index]
        self._keep(entry)
        self.progress.spend(entry, ask)
        if entry.kind == REFUSAL:
            self.refused.add(index)
        else:
            is_whole = entry.settled and attempt < MAX_ATTEMPTS - 1  # as most are: no need to read it again
            self._useless.count("" if is_whole else self._useless.fault_of(entry, ask))
        return entry.settled

    def _keep(self, entry: Entry) -> None:
        """Put an entry into the journal; a refusal only when a reply follows, or the run ends well.

        Refusals that stop the run mean something general, such as an empty account, and must be asked again.
        """
        self._held.append(entry)
        if entry.kind != REFUSAL:
            self._put_held()

    def _has_usable(self) -> bool:
        """Whether a reply that is on file has a usable line: a further round may ask for none but hopeless skills."""
        return any(
            entry.kind != REFUSAL and not self._useless.fault_of(entry, ask)
            for ask, chain in zip(self.plan.asks, self.chains(), strict=True)
            for entry in chain.entries
        )

    def _put_held(self) -> None:
        self.journal.put_many(self._held)
        self._held = []

    def _postfix(self) -> dict[str, str]:
        now = self.progress
        prompt, completion = now.prompt_tokens + now.lost.prompt, now.completion_tokens + now.lost.completion
        shown = {"tokens": f"{(prompt + completion) / 1e6:.2f}M"}
        usd = self.limits.price.of(prompt, completion)
        if usd:
            shown["usd"] = f"{usd:.2f}"
        if now.waits:
            shown["waits"] = str(now.waits.total())
        if self._useless.by_fault:
            shown["unusable"] = str(self._useless.by_fault.total())
        return shown
