"""Sentences -> accepted sentences, with every rejected one counted under its reason, and some kept as examples.

The order of filters is fixed; a sentence counts under the first one that rejects it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from unicodedata import category, normalize

from rapidfuzz import fuzz

from dataset_builder.languages import is_foreign
from dataset_builder.seeded import stable_number
from dataset_builder.sentences import Sentence
from dataset_builder.words import is_unspaced, words_of

MIN_WORDS = 2
MAX_WORDS = 45
MAX_CHARACTERS = 320
MAX_UNSPACED = 160  # characters of a line in Chinese, Japanese or Thai, which has no spaces to count words by
NEAR_SCORE = 90.0
MAX_LEAKAGE = 0.095
EXAMPLES = 5
BULLET_CHARACTERS = "*-• "

_MARKUP = re.compile(
    r"```|</?\w+[^>]*>|\*\*|\[[^\]]{2,}\]|\{[^}]*\}|https?://"
    r"|(?:^\W*|[(.]\s*)(?:(?:required|essential|preferred|key) )?skills?:\s"
    r"|[^\d\s][.!?]\s+[2-9][.)]\s",  # the number of a next line; no date such as 1. 2. 2026
    re.IGNORECASE,
)
_TALK = re.compile(
    r"^(?:here (?:are|is)|sure(?: thing)?(?:\s*[,!.:]|\s+(?:-|we|i|here)\s)|certainly\b|of course\b"
    r"|the (?:given|following) skill"
    r"|this (?:line|skill|sentence)\b)|\b(?:for|in|of) (?:a|the|this) job ad\b"
    r"|\bas an? (?:ai(?:(?: assistant| model)?,|\b[^,.]{0,30},? i\b)|(?:\w+ )?language model\b)",
    re.IGNORECASE,
)
# Marks that belong to the letter before them, as in Hindi, Thai or an accent of its own; \w has none of them. Those
# that choose how a sign looks, as after an emoji, belong to no word.
_MARKS = "".join(
    mark
    for mark in map(chr, range(0x300, 0x10000))
    if category(mark) in ("Mn", "Mc") and not "\ufe00" <= mark <= "\ufe0f"
)
_WORD = re.compile(rf"[\w+#]+(?:[{_MARKS}]+[\w+#]*)*")


@dataclass
class Report:
    """Counts and a few examples of rejected sentences by reason; the round trip's bounds where it was made."""

    rejected: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)
    reasons_of: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    round_trip_k: int | None = None
    round_trip_far: int | None = None

    def reject(self, reason: str, sentence: Sentence, beside: Sentence | None = None, shown: bool = True) -> None:
        """Count a rejected sentence; `beside` is the one that it was rejected for, shown with it.

        Examples go into the manifest and the card: what must not be published is not `shown`.
        """
        self.rejected[reason] = self.rejected.get(reason, 0) + 1
        kept = self.examples.setdefault(reason, [])
        if shown and len(kept) < EXAMPLES:
            kept.append(" ~ ".join(f"{one.skills[0].label}: {one.text[:200]}" for one in (sentence, beside) if one))
        self.reasons_of[sentence.skills[0].uri].add(reason)


Check = Callable[[Sentence], str | None]


def apply_checks(sentences: Iterable[Sentence], checks: Sequence[Check], report: Report) -> list[Sentence]:
    """Keep the sentences that pass every check; the first check that objects gives the reason."""
    kept = []
    for sentence in sentences:
        reason = next((reason for check in checks if (reason := check(sentence))), None)
        if reason:
            report.reject(reason, sentence)
        else:
            kept.append(sentence)
    return kept


def check_length(sentence: Sentence) -> str | None:
    """Too few words, or more than a line of a job ad holds."""
    words = len(words_of(sentence.text.lstrip(BULLET_CHARACTERS)))
    if words < MIN_WORDS:
        return "too short"
    most = MAX_UNSPACED if is_unspaced(sentence.text) else MAX_WORDS
    return "too long" if words > most or len(sentence.text) > MAX_CHARACTERS else None


def check_markup(sentence: Sentence) -> str | None:
    """Code, tags, links, placeholders, remnants of the prompt, and several numbered lines in one."""
    return "markup" if _MARKUP.search(sentence.text) else None


def check_talk(sentence: Sentence) -> str | None:
    """The model speaks about its task instead of doing it."""
    return "talk about the task" if _TALK.search(sentence.text.lstrip(BULLET_CHARACTERS)) else None


def check_language(language: str) -> Check:
    """A check for sentences that are surely in another language."""

    def check(sentence: Sentence) -> str | None:
        return "wrong language" if is_foreign(sentence.text, language) else None

    return check


def drop_duplicates(sentences: Sequence[Sentence], report: Report) -> list[Sentence]:
    """Drop a sentence whose words another one has already, and near-duplicates within a skill.

    The same words for two different skills leave the first: a sentence that fits everything teaches nothing.
    """
    seen: set[str] = set()
    of_skill: dict[str, list[str]] = defaultdict(list)
    kept = []
    for sentence in sentences:
        words = normal_form(sentence.text)
        uri = sentence.skills[0].uri
        if words in seen:
            report.reject("duplicate", sentence)
        elif any(fuzz.token_sort_ratio(words, other, score_cutoff=NEAR_SCORE) for other in of_skill[uri]):
            report.reject("near-duplicate", sentence)
        else:
            seen.add(words)
            of_skill[uri].append(words)
            kept.append(sentence)
    return kept


def cap_leakage(sentences: Sequence[Sentence], report: Report, share: float = MAX_LEAKAGE) -> list[Sentence]:
    """Drop sentences that repeat a label word for word until at most `share` of the rest do.

    A skill's last two sentences, and then its last one, are dropped only when nothing else is left to drop.
    """
    leaking = [index for index, sentence in enumerate(sentences) if leaks(sentence)]
    # (leaking - dropped) / (all - dropped) <= share
    surplus = -((share * len(sentences) - len(leaking)) // (1 - share)) if leaking else 0
    to_drop = max(0, int(surplus))
    left: dict[str, int] = defaultdict(int)
    for sentence in sentences:
        left[sentence.skills[0].uri] += 1
    dropped: set[int] = set()
    by_hash = sorted(leaking, key=lambda index: stable_number(sentences[index].text))
    for keep_at_least in (2, 1, 0):
        for index in by_hash:
            uri = sentences[index].skills[0].uri
            if len(dropped) < to_drop and index not in dropped and left[uri] > keep_at_least:
                dropped.add(index)
                left[uri] -= 1
                report.reject("repeats the label", sentences[index])
    return [sentence for index, sentence in enumerate(sentences) if index not in dropped]


def leaks(sentence: Sentence) -> bool:
    """Whether the sentence holds one of its preferred labels word for word, in any case of letters."""
    text = _between_spaces(sentence.text)
    return any(_between_spaces(skill.label) in text for skill in sentence.skills)


def _between_spaces(text: str) -> str:
    """The words in normal form, each between two spaces."""
    return f" {' '.join(words_of(normal_form(text)))} "


def normal_form(text: str) -> str:
    """Lower-case words with single spaces; punctuation away, but for characters of names such as C++ and C#.

    An accent is the same whether it is a sign of its own or part of the letter (NFC).
    """
    return " ".join(_WORD.findall(normalize("NFC", text.casefold())))
