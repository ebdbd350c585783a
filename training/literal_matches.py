"""Sentences and an ESCO release -> the sentences that hold a label word for word: distant supervision's pairs.

The paper's own baseline (Decorte et al. 2022, arXiv 2209.05987) finds labels in real ads this way.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dataset_builder.contract import StageError
from dataset_builder.esco import EscoRelease

LONGEST_LABEL_WORDS = 8
# A label of one short word, such as "R" or "law", is found everywhere and means little.
SHORTEST_SINGLE_WORD = 5
# The words of eval's literal match (a test holds the two together): letters and digits, with the signs inside names
# such as C++, C# and node.js; "on-site" is one word.
_WORD = re.compile(r"[^\W_]+(?:[+#]+|(?:[.'\u2019-][^\W_]+)*)")
_BRACKETS = re.compile(r"\s*\([^)]*\)")
# An alternative label that begins or ends so is the half of a list, such as "and procedures".
_CUT_OFF = frozenset({"and", "or", "of", "the"})


@dataclass(frozen=True)
class LiteralMatch:
    """A sentence and the preferred labels of the skills named in it, in order of first mention."""

    sentence: str
    labels: tuple[str, ...]


def read_sentences(path: str | Path) -> list[str]:
    """Read one sentence a line from a text file, gzipped or not; blank lines are skipped.

    Raises:
        StageError: no such file, or not UTF-8 text.
    """
    path = Path(path)
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as file:
            return [line.strip() for line in file if line.strip()]
    except FileNotFoundError:
        raise StageError(f"{path} does not exist", "Give a text file with one sentence a line") from None
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise StageError(f"{path} is not text ({error})") from None


def match_literally(sentences: Iterable[str], esco: EscoRelease) -> Iterator[LiteralMatch]:
    """Yield the sentences in which a preferred or alternative label stands word for word, case aside.

    Of alternative labels of one word only those count that are the preferred label without its brackets, such as
    "Python": ESCO has "equipment", "current" and "conduct" among the others, and half of all matches would be theirs.
    """
    names = _names(esco)
    for sentence in sentences:
        words = _words(sentence)
        found: dict[str, None] = {}
        for start in range(len(words)):
            for end in range(start + 1, min(start + LONGEST_LABEL_WORDS, len(words)) + 1):
                found.update(dict.fromkeys(names.get(words[start:end], ())))
        if found:
            yield LiteralMatch(sentence, tuple(found))


def _names(esco: EscoRelease) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Words of every label -> the preferred labels it names; a name of several skills says nothing and is left out."""
    owners: dict[tuple[str, ...], dict[str, None]] = defaultdict(dict)
    for skill in esco.skills:
        own = (_words(skill.label), _words(_BRACKETS.sub("", skill.label)))
        for words in (own[0], *map(_words, skill.alternative_labels)):
            if words in own:
                says_enough = len(words) > 1 or len("".join(words)) >= SHORTEST_SINGLE_WORD
            else:
                says_enough = len(words) > 1 and not {words[0], words[-1]} & _CUT_OFF
            if says_enough and len(words) <= LONGEST_LABEL_WORDS:
                owners[words][skill.label] = None
    return {words: tuple(labels) for words, labels in owners.items() if len(labels) == 1}


def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.lower()))
