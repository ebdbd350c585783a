"""A job ad as people paste it -> passages (sentences, bullets, headings, cells) with offsets into that very text.

Lines and bullets come first, then sentences within a line: job ads are lists and headings more than prose. They are
looked for among the letters that a reader sees (plain_text.py), which know where they stand in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from plain_text import PlainText, plain_text

MAX_PASSAGE_CHARS = 400

_BULLETS = "•‣◦▪▫●○■□◆◇◾◽·∙⁃➢➤►▶▸→⇒✓✔✅☑★☆❖"
# Every pattern takes time in proportion to the text, whatever the text: a run of marks or blanks is looked at once.
_MARKS = rf"[*\-−–—>+#][{_BULLETS}*\-−–—>+#]*"
_BULLET_AT_START = re.compile(
    rf"\s*(?:[{_BULLETS}]\s*|(?:{_MARKS}|o(?=\s{{2,}}|\t)|\(?(?:\d{{1,2}}|[a-zA-Z]|[ivx]{{1,4}})[.)](?!\d))\s+)+"
)
_EMOJI_AT_START = re.compile("[\\s\U0001f000-\U0001faff\u2600-\u27bf\ufe0f\u200d]+")
_INLINE_BULLET = re.compile(rf"[{_BULLETS}]\s*|\s\*\s+")
_INLINE_DASH = re.compile(r"\s[-–—]\s")
# "Duties: stocktaking; cleaning; ordering"
_LIST_LEAD = re.compile(r"[^:;]{2,40}:\s")
_LIST_BREAK = re.compile(r";\s+|(?<=:)\s+")
_CELL_BREAK = re.compile(r"\t+|(?<!\s)\s+\|\s*|\|\s+| {4,}")
_ONLY_RULES = re.compile(r"[\s|+\-=_*~:.]*\Z")
_SENTENCE_END = re.compile(r"""(?<![.!?…])[.!?…]+["'”’»)\]]*(?=\s+["'“‘«(\[]*[^\sa-z])""")
# Scraped pages lose the space between sentences: "our team.You will".
_GLUED_END = re.compile(r"(?<=[a-z]{3})[.!?](?=[A-Z][a-z]{2,}\s)")
_ABBREVIATIONS = frozenset(
    """e.g i.e eg ie etc incl excl approx ca min max no nos vs dr mr mrs ms prof sr jr st inc ltd co corp dept cert hrs
    hr yrs yr wk mo mos ext fig vol dipl resp bzw z.b d.h u.a a.k.a ph.d b.sc m.sc b.a m.a b.s m.s b.eng m.eng a.m p.m
    u.s u.k u.n e.u est ref tel attn avg dep div edu eng mgr asst gen govt intl mfg tech univ pty""".split()
)
# "Acme Inc. We build": these close a sentence when a word follows that starts one.
_MAY_CLOSE = frozenset(
    "inc ltd co corp a.m p.m yrs yr hrs hr u.s u.k e.u mo mos ph.d b.sc m.sc dept ext ref no".split()
)
_STARTERS = frozenset(
    """We You The Our This These They It In As A An Your Join Apply If For At With To From Please What Who Why How
    Must Should Will Can Are Is All Each Both Ability Experience Knowledge Strong Good""".split()
)
_EDGE = " \t\n\u2002,;|*_\ufe0f\u200d"
_EMOJI_AT_END = re.compile("[\\s\U0001f000-\U0001faff\u2600-\u27bf\u23e9-\u23fa\u2b50\ufe0f\u200d]+\\Z")
_AND = re.compile(r"\s(?:and/or|and|or|&)\s")
_NOT_A_DOMAIN = re.compile(r"\.(?:Com|Net|Org|Edu|Gov)\b")


@dataclass(frozen=True)
class Passage:
    """A piece of a text. `start` and `end` are code points; `text` is cleaned for the encoder."""

    start: int
    end: int
    text: str


def split_passages(text: str) -> list[Passage]:
    """Split an ad into passages, in the order of the text.

    Args:
        text: plain text or HTML, of any length and line ending.

    Returns:
        Passages that do not overlap; each holds a letter or a digit, and at most 400 letters as a reader sees them.
    """
    plain = plain_text(text)
    return [Passage(*plain.place(one.start, one.end), one.text) for one in split_letters(plain)]


def split_letters(plain: PlainText) -> list[Passage]:
    """`split_passages` of what `plain_text` made of a text; `start` and `end` count its letters."""
    passages, letters = [], plain.letters
    for line_start, line_end in _lines(letters):
        for start, end in _pieces_of_line(letters, line_start, line_end):
            for piece_start, piece_end in _sentences(letters, start, end):
                for short_start, short_end in _short_enough(plain, piece_start, piece_end):
                    passage = _trimmed(letters, short_start, short_end)
                    if passage:
                        passages.append(passage)
    return passages


def split_list(passage: Passage, letters: str) -> list[Passage]:
    """The items of a passage that lists things ("Python, SQL and Docker"), else none.

    Args:
        passage: a passage of `letters`.
        letters: those of the text that `split_letters` was given.
    """
    spans = _items(letters[passage.start : passage.end])
    if len(spans) < 3:
        return []
    items = [_trimmed(letters, passage.start + start, passage.start + end) for start, end in spans]
    return [item for item in items if item]


def _items(masked: str) -> list[tuple[int, int]]:
    """Spans between the commas of a list, outside brackets; empty when it reads as prose."""
    lead = masked.find(": ")
    position = lead + 2 if 0 <= lead < len(masked) // 2 else 0
    spans, depth, start = [], 0, position
    for found in re.finditer(r"[(\[)\],;]", masked[position:]):
        mark, where = found.group(), found.start() + position
        if mark in "([":
            depth += 1
        elif mark in ")]":
            depth = max(0, depth - 1)
        elif depth == 0:
            spans.append((start, where))
            start = where + 1
    # Only the end of a list joins its items by a word: "Python, SQL and Docker".
    last = _AND.search(masked, start) if spans else None
    if last:
        spans.append((start, last.start()))
        start = last.end()
    spans.append((start, len(masked)))
    filled = [span for span in spans if masked[slice(*span)].strip()]
    words = sum(len(masked[slice(*span)].split()) for span in filled)
    return filled if filled and words / len(filled) <= 5 else []


def _lines(masked: str) -> Iterator[tuple[int, int]]:
    """Lines, with hard-wrapped ones joined again."""
    lines = masked.split("\n")
    start = position = 0
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        position += len(line) + 1
        if not _continues(line, following):
            yield start, position - 1
            start = position


def _continues(line: str, following: str) -> bool:
    """Whether `following` is the rest of a sentence that was wrapped at a fixed width."""
    line, head = line.rstrip(), following.lstrip()
    if len(line) < 45 or not head or line[-1] in ".!?:;" or "\t" in line or "|" in line:
        return False
    return (head[0].islower() or line[-1] == ",") and not _BULLET_AT_START.match(following)


def _pieces_of_line(masked: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """A line without its bullet, cut at table cells and at bullets inside it."""
    line = masked[start:end]
    if _ONLY_RULES.match(line):
        return
    breaks = [_CELL_BREAK, _INLINE_BULLET]
    if len(_INLINE_DASH.findall(line)) >= 3:
        breaks.append(_INLINE_DASH)
    if (_LIST_LEAD.match(line) and line.count("; ") >= 2) or line.count("; ") >= 3:
        breaks.append(_LIST_BREAK)
    pieces = [(start, end)]
    for pattern in breaks:
        pieces = [cut for piece in pieces for cut in _cut(masked, piece, pattern)]
    yield from pieces


def _cut(masked: str, piece: tuple[int, int], pattern: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    start = piece[0]
    for found in pattern.finditer(masked, *piece):
        yield start, found.start()
        start = found.end()
    yield start, piece[1]


def _sentences(masked: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    bullet = _BULLET_AT_START.match(masked, start, end)
    start = bullet.end() if bullet else start
    ends = [found.end() for found in _SENTENCE_END.finditer(masked, start, end)]
    ends += [
        found.end()
        for found in _GLUED_END.finditer(masked, start, end)
        if not _NOT_A_DOMAIN.match(masked, found.start())
    ]
    for boundary in sorted(ends):
        if not _ends_in_abbreviation(masked[max(start, boundary - 60) : boundary], masked[boundary : boundary + 20]):
            yield start, boundary
            start = boundary
    yield start, end


def _ends_in_abbreviation(before: str, after: str) -> bool:
    """Whether the full stop at the end belongs to a word: "e.g.", "Dr.", the initial in "J. Smith", or "1."."""
    if before.rstrip("\"'”’»)]")[-1:] != ".":
        return False
    words = before.rstrip("\"'”’»)].").split()
    if not words:
        return True
    word = words[-1].lstrip("\"'“‘«([")
    if word.lower() in _ABBREVIATIONS:
        next_word = (after.split() or [""])[0].strip("\"'“‘«([,")
        return not (word.lower() in _MAY_CLOSE and next_word in _STARTERS) and word.lower() != "etc"
    if len(word) == 1 and word.isupper():
        return len(words) == 1 or words[-2][0].isupper()
    return word.isdigit() and len(words) == 1


def _short_enough(plain: PlainText, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut what is too long for the encoder at the last comma or space before the limit."""
    while end - start > MAX_PASSAGE_CHARS:
        window = plain.letters[start : start + MAX_PASSAGE_CHARS]
        cut = max(window.rfind(mark, MAX_PASSAGE_CHARS // 2) for mark in (", ", "; ", ". "))
        if cut < 0:
            cut = window.rfind(" ", MAX_PASSAGE_CHARS // 2)
        length = cut + 1 if cut >= 0 else MAX_PASSAGE_CHARS
        # Letters of one ligature or entity stay together.
        while plain.starts[start + length] == plain.starts[start + length - 1]:
            length -= 1
        yield start, start + length
        start += length
    yield start, end


def _trimmed(masked: str, start: int, end: int) -> Passage | None:
    """A passage without outer blanks, bullets and emoji; None when nothing is left to read."""
    for pattern in (_EMOJI_AT_START, _BULLET_AT_START):
        found = pattern.match(masked, start, end)
        start = found.end() if found else start
    ending = _EMOJI_AT_END.search(masked[start:end][-12:])
    end -= len(ending.group()) if ending else 0
    inner = masked[start:end]
    if not any(character.isalnum() for character in inner):
        return None
    start += len(inner) - len(inner.lstrip(_EDGE))
    end -= len(inner) - len(inner.rstrip(_EDGE))
    clean = " ".join(masked[start:end].split())
    return Passage(start, end, clean) if clean else None
