"""A text as it was given -> its letters as a reader sees them, and where each of them stands in that text.

Markup is blank, an entity ("&#43;") is what it stands for, the ligatures of PDF files are letters again, an accent that
stands by itself is part of its letter, the bold letters of posts and the wide ones of Asian keyboards are letters, and
marks that nobody sees (soft hyphens, zero-width blanks) are left out, and a word that a line end broke is one word, so
that no word is broken by how it was written down.
"""

from __future__ import annotations

import html
import re
import unicodedata
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from html.entities import html5
from typing import Literal

from page_markup import NO_WIDTH, blank_markup, without_odd_blanks

# What stands in a text for other letters, or for none.
_JOINED = {
    "\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl", "\ufb05": "st", "\ufb06": "st",
    **dict.fromkeys(NO_WIDTH, ""),
}  # fmt: skip
_AS_LETTERS = str.maketrans(_JOINED)
# Feeds escape twice: "&amp;#39;". Browsers read a number without its semicolon.
_NUMBER = r"#[0-9]{1,9}(?![0-9]);?|#[xX][0-9a-fA-F]{1,8}(?![0-9a-fA-F]);?"
_ODD_LETTERS = "\U0001d400-\U0001d7ff\uff01-\uff5e"  # mathematical and full-width ones
_TO_READ_OF_MOST = rf"&(?:amp;)?({_NUMBER}|[a-zA-Z][a-zA-Z0-9]{{1,31}};)|[{''.join(_JOINED)}{_ODD_LETTERS}]"
_TO_READ = re.compile(_TO_READ_OF_MOST)
# No letter has more accents than Unicode's stream-safe format allows; a heap of them is no letter.
_TO_READ_WITH_ACCENTS = re.compile(rf"{_TO_READ_OF_MOST}|[^\W\d_][\u0300-\u036f]{{1,30}}")
_AMPERSAND = "&amp;"
_SOFT_HYPHEN = "\u00ad"
# A line of so many letters was wrapped at a width; the mark that ends a shorter one may close a heading.
_WRAPPED_FROM = 45
_MARK_AND_BREAK = re.compile(r"-[^\S\n]{0,20}\n[^\S\n]{0,20}([^\W\d_]+)")
# Beside these the mark is the word's own, "long-\nterm"; or it stands for a word that follows, "short- and long-term".
_OWN_MARK_AFTER = frozenset("cross full hands long self short well".split())
_OWN_MARK_BEFORE = frozenset(
    """based driven facing free hand house level making minded motivated off on oriented paced related site solving
    specific term the time to up wide""".split()
)
_SUSPENDED_BEFORE = frozenset("and or to und oder et ou".split())


@dataclass(frozen=True)
class PlainText:
    """Letters, of which number i stands at `starts[i]:ends[i]` of the text as it was given, in code points."""

    letters: str
    starts: Sequence[int]
    ends: Sequence[int]

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Where `letters[start:end]`, which must not be empty, stands in the text as it was given."""
        return self.starts[start], self.ends[end - 1]

    def part(self, start: int, end: int) -> PlainText:
        """`letters[start:end]`, with places in the whole text."""
        return PlainText(self.letters[start:end], self.starts[start:end], self.ends[start:end])


def plain_text(text: str) -> PlainText:
    """What a reader sees of a text that may hold HTML."""
    masked = _MARK_AND_BREAK.sub(_as_one_word, blank_markup(text))
    parts: list[str] = []
    starts, ends = array("L"), array("L")
    position = 0

    def add(letters: str, start: int, end: int) -> None:
        parts.append(letters)
        starts.extend([start] * len(letters))
        ends.extend([end] * len(letters))

    def add_as_it_is(end: int) -> None:
        parts.append(masked[position:end])
        starts.extend(range(position, end))
        ends.extend(range(position + 1, end + 1))

    is_composed = unicodedata.is_normalized("NFC", masked)
    for found in (_TO_READ if is_composed else _TO_READ_WITH_ACCENTS).finditer(masked):
        read, end = _as_read(found)
        if end > found.start():
            add_as_it_is(found.start())
            add(read, found.start(), end)
            position = end
    if not position:
        return PlainText(masked, range(len(masked)), range(1, len(masked) + 1))
    add_as_it_is(len(masked))
    return PlainText("".join(parts), starts, ends)


def _as_one_word(found: re.Match[str]) -> str:
    """A word that the end of a line broke ("manage-" and "ment"), with marks that nobody sees for the break."""
    broken, after = found.group(), found[1]
    line = found.string[found.string.rfind("\n", 0, found.start()) + 1 : found.start()]
    before = re.split(r"[^\w-]", line[-_WRAPPED_FROM:])[-1]
    if len(line) < _WRAPPED_FROM or not before[-1:].isalpha() or not after.islower() or after in _SUSPENDED_BEFORE:
        return broken
    is_own = "-" in before or before.lower() in _OWN_MARK_AFTER or after in _OWN_MARK_BEFORE
    marks = _SOFT_HYPHEN * (len(broken) - len(after) - is_own)
    return "-" * is_own + marks + after


def join_letters(text: str) -> str:
    """The text with letters for ligatures, and without marks that nobody sees."""
    return text.translate(_AS_LETTERS)


def _as_read(found: re.Match[str]) -> tuple[str, int]:
    """What a reader sees there, and where what stands for it ends: where it starts if nothing does."""
    name = found[1]
    if name is None:
        letters = found.group()
        form: Literal["NFKC", "NFC"] = "NFKC" if len(letters) == 1 and letters not in _JOINED else "NFC"
        return join_letters(unicodedata.normalize(form, letters)), found.end()
    if name[0] == "#" or name in html5:
        # "\r\n" is one break; what is blank elsewhere is blank here.
        read = html.unescape(f"&{name}").replace("\r", " ")
        return join_letters(without_odd_blanks(read)), found.end()
    # "R&amp;Dev;": an ampersand, and then no entity.
    is_ampersand = found.group().startswith(_AMPERSAND)
    return ("&", found.start() + len(_AMPERSAND)) if is_ampersand else ("", found.start())
