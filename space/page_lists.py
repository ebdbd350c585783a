"""Own lists of skills of the page's visitors: in memory up to a limit, each forgotten an hour after it was opened."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from skill_finder import SkillFinder

FORGET_AFTER_S = 3600
MAX_BYTES_KEPT = 256 * 1024 * 1024


@dataclass(frozen=True)
class OwnList:
    """What a visitor's session holds of a list: its key, and how many skills it has."""

    key: str
    count: int


@dataclass
class OwnLists:
    """Finders by the key of their list. Sessions hold keys, so that this is all the memory that lists take."""

    clock: Callable[[], float] = time.monotonic
    _finders: OrderedDict[str, tuple[float, SkillFinder]] = field(default_factory=OrderedDict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __len__(self) -> int:
        return len(self._finders)

    def get(self, key: str) -> SkillFinder | None:
        """The finder of a list, None once it is forgotten."""
        self.forget_old()
        with self._lock:
            if key not in self._finders:
                return None
            self._finders.move_to_end(key)
            return self._finders[key][1]

    def keep(self, key: str, finder: SkillFinder) -> OwnList:
        """Keep a list that was opened just now; where memory is short, let go of those that nobody used for longest."""
        with self._lock:
            self._finders[key] = (self.clock(), finder)
            self._finders.move_to_end(key)
            size = sum(bytes_of(kept) for _, kept in self._finders.values())
            while size > MAX_BYTES_KEPT and len(self._finders) > 1:
                _, (_, oldest) = self._finders.popitem(last=False)
                size -= bytes_of(oldest)
        return OwnList(key, len(finder.index.skills))

    def forget_old(self) -> None:
        """Let go of lists whose hour is over."""
        oldest = self.clock() - FORGET_AFTER_S
        with self._lock:
            for key in [key for key, (opened_at, _) in self._finders.items() if opened_at <= oldest]:
                del self._finders[key]


def bytes_of(finder: SkillFinder) -> int:
    """About how much memory a list takes: its vectors, its letters in a few places, and some 500 bytes a name."""
    skills = finder.index.skills
    names = sum(1 + len(skill.alternative_labels) for skill in skills)
    letters = sum(
        sum(map(len, (skill.uri, skill.label, skill.type, skill.description, *skill.alternative_labels)))
        for skill in skills
    )
    return finder.index.vectors.nbytes + 500 * names + 4 * letters
