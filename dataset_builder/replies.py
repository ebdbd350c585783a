"""A reply's text -> the lines that were asked for, and a name for everything that is wrong with it.

Numbered lines are read by default; where the server was asked for JSON, a JSON object is read as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from dataset_builder.languages import is_foreign
from dataset_builder.reply_lines import STYLES, find_lines

MAX_REPLY_CHARACTERS = 20_000

# Faults of a whole reply: nothing in it can be used.
EMPTY = "empty reply"
OVERSIZED = "oversized reply"
UNFINISHED_THINKING = "unfinished thinking"
REFUSAL = "refusal"  # or of a part, where a single line is one
HTML = "html instead of text"
WRONG_LANGUAGE = "wrong language"
NO_LINES = "no lines"
# Faults of a part: the rest is used.
THINKING = "thinking"  # before the lines; left out
FEWER_LINES = "fewer lines than asked"
TRUNCATED = "truncated line"
REPEATED = "repeated line"
PREAMBLE = "preamble"
QUOTES = "quotes stripped"
MARKUP = "markup stripped"
UNNUMBERED = "unnumbered lines"

_WHOLE = (EMPTY, OVERSIZED, UNFINISHED_THINKING, REFUSAL, HTML, WRONG_LANGUAGE, NO_LINES)

# What a model thinks before it answers, where the server leaves it in the reply.
_THOUGHT = re.compile(r"<(think(?:ing)?)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_THOUGHT_BEGINS = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
_THOUGHT_ENDS = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
# English alone: in other languages a refusal shows as a reply without the lines asked for.
_REFUSING = (
    r"\b(?:i(?:['’]m| am) (?:sorry|unable|not able)|i can(?:['’]t|not| not)|i apologi[sz]e"  # noqa: RUF001
    r"|i (?:won['’]t|will not) be able to|(?:this|the|your) request (?:violates|goes against)"  # noqa: RUF001
    r"|as an ai(?: (?:language )?model| assistant)?(?:,| i\b)|cannot (?:assist|help|comply))"
)
_REFUSAL = re.compile(_REFUSING, re.IGNORECASE)
_ANNOUNCES = re.compile(r"\bhere (?:are|is)\b", re.IGNORECASE)
# A line that begins so; elsewhere in a line it may be what a skill is about, such as an apology to translate.
_REFUSED_LINE = re.compile(rf"(?:(?:unfortunately|sorry)\W+(?:but\s+)?)?{_REFUSING}", re.IGNORECASE)
_STYLE_PREFIX = re.compile(rf"^{STYLES}(?:\s*[:：]\s*|\s+[\-–]\s+)", re.IGNORECASE)  # noqa: RUF001
_BOLD_STYLE = re.compile(rf"^(\*\*|__){STYLES}\s*[:：]?\1(?:\s*[:：]|\s+[\-–])?\s+", re.IGNORECASE)  # noqa: RUF001
_BULLET = re.compile(r"^(?:[*\-–•·]\s+)+")  # noqa: RUF001
# One pair of quotes around the whole line: `"Agile" and "Scrum"` has two.
_QUOTED = re.compile(
    r"^(?:[\"“”„«»‹›「『]([^\"“”„«»‹›「」『』]*)[\"“”«»‹›」』]|['‘‚]((?:(?!['’]\s|\s['‘]).)*)['’‘])$"  # noqa: RUF001
)


@dataclass(frozen=True)
class ParsedReply:
    """`lines` maps the position asked for (from 0) to its text; `faults` names what was wrong, each once."""

    lines: dict[int, str]
    faults: tuple[str, ...]
    asked: int

    @property
    def complete(self) -> bool:
        """Whether every line asked for is there."""
        return len(self.lines) == self.asked

    @property
    def useless(self) -> str:
        """The fault for which no line of it can be used; "" where one can."""
        return "" if self.lines else next(fault for fault in self.faults if fault in _WHOLE)


def parse_reply(text: str, asked: int, finish_reason: str = "stop", language: str = "en") -> ParsedReply:
    """Read a reply to a request for `asked` lines.

    Args:
        text: the reply as it came.
        asked: how many lines were asked for; surplus lines are left out.
        finish_reason: "length" says that the last line is cut off.
        language: two-letter code of the language asked for.
    """
    if len(text) > MAX_REPLY_CHARACTERS:  # with its thoughts: the journal keeps no more of it
        return ParsedReply({}, (OVERSIZED,), asked)
    answer, thought = without_thoughts(text)
    if thought == UNFINISHED_THINKING:
        return ParsedReply({}, (thought,), asked)
    parsed = _parse_answer(answer, asked, finish_reason, language)
    return replace(parsed, faults=(thought, *parsed.faults)) if thought else parsed


def without_thoughts(text: str) -> tuple[str, str]:
    """A reply without what the model thought before it, and THINKING, UNFINISHED_THINKING, or "" where it did not.

    The mark that begins a thought may be missing: some chat templates put it at the end of the prompt.
    """
    answer = _THOUGHT_ENDS.split(_THOUGHT.sub("", text))[-1]
    if _THOUGHT_BEGINS.search(answer):
        return "", UNFINISHED_THINKING
    return answer, THINKING if answer != text else ""


def _parse_answer(text: str, asked: int, finish_reason: str, language: str) -> ParsedReply:
    fault = _whole_fault(text)
    if fault:
        return ParsedReply({}, (fault,), asked)
    faults: list[str] = []
    found = find_lines(text, asked, cut_off=finish_reason == "length")
    marks = ((found.unnumbered, UNNUMBERED), (found.preamble, PREAMBLE), (found.cut, TRUNCATED))
    faults += [name for present, name in marks if present]
    lines = _clean_lines(found.lines, asked, faults)
    # After a refusal may stand advice, in lines too; after words that announce lines there are lines.
    first = text.strip().splitlines()[0]
    is_advice = len(lines) < asked or (found.preamble and not _ANNOUNCES.search(first))
    if is_advice and (found.preamble or found.unnumbered) and _REFUSAL.search(first):
        return ParsedReply({}, (REFUSAL,), asked)
    if not lines:
        reason = REFUSAL if _REFUSAL.search(text) else NO_LINES
        return ParsedReply({}, (*dict.fromkeys([*faults, reason]),), asked)
    if is_foreign(" ".join(lines.values()), language):
        return ParsedReply({}, (WRONG_LANGUAGE,), asked)
    if len(lines) < asked:
        faults.append(FEWER_LINES)
    return ParsedReply(lines, tuple(dict.fromkeys(faults)), asked)


def _whole_fault(text: str) -> str | None:
    if not text.strip():
        return EMPTY
    return HTML if re.match(r"\s*<(?:!doctype|html|body|head)\b", text, re.IGNORECASE) else None


def _clean_lines(numbered: dict[int, str], asked: int, faults: list[str]) -> dict[int, str]:
    lines: dict[int, str] = {}
    for number in sorted(numbered):
        if not 1 <= number <= asked:
            continue
        line = _clean(numbered[number], faults)
        if not line:
            continue
        if _REFUSED_LINE.match(line):
            faults.append(REFUSAL)
        elif line.casefold() in {other.casefold() for other in lines.values()}:
            faults.append(REPEATED)
        else:
            lines[number - 1] = line
    return lines


def _clean(line: str, faults: list[str]) -> str:
    """The line without what small models put around it: bold marks, style names, bullets, quotes."""
    plain = _BOLD_STYLE.sub("", line.strip())
    plain = re.sub(r"(\*\*|__|`)(.+?)\1", r"\2", plain).replace("**", "").strip()
    plain = re.sub(r"^\*(?=\S)(.*\S)\*$", r"\1", plain)
    if plain != line.strip():
        faults.append(MARKUP)
    plain = _STYLE_PREFIX.sub("", _BULLET.sub("", plain)).strip()
    quoted = _QUOTED.match(plain)
    if quoted:
        faults.append(QUOTES)
        plain = (quoted[1] or quoted[2] or "").strip()
    return " ".join(plain.split())
