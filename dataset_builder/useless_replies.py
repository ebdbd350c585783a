"""Replies of a run -> how many have no usable line, and an end to a run that only pays for such."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from dataset_builder.chat_client import StopError
from dataset_builder.journal import Entry
from dataset_builder.plan import Ask
from dataset_builder.replies import EMPTY, NO_LINES, REFUSAL, UNFINISHED_THINKING, parse_reply

# So many replies at the start of a run without a usable line, with none on file either, are no accident.
USELESS_AT_START = 30
CUT_OFF = "cut off"  # a reply that the bound on tokens ended before its first line


class UselessReplies:
    """Counts a run's replies that have no usable line, by their faults.

    Args:
        language: of the lines that were asked for.
        has_usable: whether a reply that is on file has a usable line; asked once, and only at a bad start.
        where: the file of the replies, to name it.
    """

    def __init__(self, language: str, has_usable: Callable[[], bool], where: object) -> None:
        self.by_fault: Counter[str] = Counter()
        self._language = language
        self._has_usable = has_usable
        self._where = where
        self._replies = 0

    def fault_of(self, entry: Entry, ask: Ask) -> str:
        """The fault for which a reply has no usable line; "" where it has one."""
        fault = parse_reply(entry.text, len(ask.styles), entry.finish_reason, self._language).useless
        return CUT_OFF if fault in (EMPTY, NO_LINES) and entry.finish_reason == "length" else fault

    def count(self, fault: str) -> None:
        """Count a reply by its fault, "" for none.

        Raises:
            StopError: none of the first replies, and none on file, had a usable line.
        """
        self._replies += 1
        if fault:
            self.by_fault[fault] += 1
        if self._replies == self.by_fault.total() == USELESS_AT_START and not self._has_usable():
            which = ", ".join(f"{kind}: {count}" for kind, count in self.by_fault.most_common())
            raise StopError(
                f"none of the first {USELESS_AT_START} replies had a usable line ({which})",
                f"{self._remedy()}; replies are kept, and the same command goes on",
            )

    def _remedy(self) -> str:
        ((most, _),) = self.by_fault.most_common(1)
        if most in (CUT_OFF, UNFINISHED_THINKING):
            return "Give a larger --tokens-per-line, or turn the model's thinking off"
        return "Take another model" if most == REFUSAL else f"Read some in {self._where}, or take another model"
