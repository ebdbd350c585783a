"""A reply's text -> its lines by number, as they stand there: numbered, in JSON, or as many as were asked for."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

# Names of the lines that the prompts ask for; models repeat them before a line.
_STYLE_NAMES = (
    *("short bullet", "bullet", "requirement(?: of at most 8 words)?(?: that names the skill)?"),
    *("duty(?: of at least 20 words)?", "tools? and methods", "full sentence", "sentence that implies it", "sentence"),
    *("without naming the skill", "responsibility", "implied", "implicit"),
)
STYLES = f"(?:{'|'.join(_STYLE_NAMES)})"
# 1. | 1) | (1) | 1: | **1.** | 1\. | 1 - | and the signs of Chinese and Japanese; no number such as 1.5 or 3:1.
NUMBERED = re.compile(
    r"^\s*(?:[-*•]\s*|#+\s+)?(?:\*\*|__)?[(（]?(\d{1,2})(?:\*\*|__)?\s*"  # noqa: RUF001
    r"(?:\\?[.):．）：]{1,2}(?!\d)|、|[-–]\s(?!\s*\d))\s*(.*)$"  # noqa: RUF001
)
_STYLE_ALONE = re.compile(rf"\W*{STYLES}\W*", re.IGNORECASE)
_INNER_NUMBER = re.compile(r"(?<!\S)[(*]*(\d{1,2})[.)]\**(?!\S)")
_BULLET = re.compile(r"[*\-–•·]\s")  # noqa: RUF001
_REMARK = re.compile(r"[(\[（【]|[A-Z]\w*(?: \w+){0,2}:\s")  # noqa: RUF001
_FENCE = re.compile(r"```\w*$")
_FENCED_JSON = re.compile(r"```\w*\s*([\[{].*?)\s*(?:```|\Z)", re.DOTALL)
_STRINGS = re.compile(r"\[\s*(?=\")")
_BETWEEN = re.compile(r"[\s,]*")
_COLONS = (":", "：")  # noqa: RUF001
WRAPPED_FROM = 60  # characters of a line that may have been cut at a width; what is shorter ends where it ends
_JOINS = re.compile(r"(?:,|\b(?:a|an|and|as|at|by|for|from|in|of|on|or|the|to|with))$", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?。！？][\"”“»'’)]*$")  # noqa: RUF001
_END = re.compile(r"[.!?:;)\"”。！？；：）“»」』]$")  # noqa: RUF001


@dataclass(frozen=True)
class FoundLines:
    """`lines` by their number (from 1); and whether other text came first, numbers lack, the last line was cut off."""

    lines: dict[int, str]
    preamble: bool = False
    unnumbered: bool = False
    cut: bool = False


def find_lines(text: str, asked: int, cut_off: bool) -> FoundLines:
    """Find the lines of a reply.

    Args:
        text: the reply.
        asked: how many lines were asked for.
        cut_off: whether the bound on tokens ended the reply: a last line that is not whole is then left out.
    """
    found = _in_json(text, cut_off)
    return found if found.lines else _in_text(text, asked, cut_off)


def _in_json(text: str, cut_off: bool) -> FoundLines:
    """Lines of a reply like {"lines": ["...", "..."]}, in a fence or not; none when the text is not that."""
    fenced = _FENCED_JSON.search(text)
    body = (fenced[1] if fenced else text).strip()
    if not body.startswith(("{", "[")):
        return FoundLines({})
    try:
        values, cut = json.loads(body), False
    except (ValueError, RecursionError):  # a number of thousands of digits, or as many brackets, included
        values, cut = (_whole_strings(body), True) if cut_off else ([], False)
    if isinstance(values, dict):
        values = next((value for value in values.values() if isinstance(value, list)), [])
    lines = {number: _unnumbered(line, number) for number, line in _numbered_texts(values)}
    return FoundLines(lines, preamble=bool(fenced and text[: fenced.start()].strip()), cut=cut)


def _numbered_texts(values: Any) -> list[tuple[int, str]]:
    values = values if isinstance(values, list) else []
    return [(number, value) for number, value in enumerate(values, 1) if isinstance(value, str)]


def _whole_strings(body: str) -> list[str]:
    """The strings of the first list of them in JSON that breaks off, without the one in which it does."""
    begin = _STRINGS.search(body)
    strings: list[str] = []
    at = begin.end() if begin else len(body)
    while body.startswith('"', at):
        try:
            value, at = json.JSONDecoder().raw_decode(body, at)
        except ValueError:
            break
        strings.append(value)
        at = _BETWEEN.match(body, at).end()  # type: ignore[union-attr]
    return strings


def _unnumbered(line: str, number: int) -> str:
    """The line without its own number, which models repeat within JSON."""
    match = NUMBERED.match(line)
    return match[2] if match and int(match[1]) == number else line


def _in_text(text: str, asked: int, cut_off: bool) -> FoundLines:
    found, before = _numbered_lines(text, asked)
    unnumbered = before[1:] if _opens(before) else before
    if not found and len(unnumbered) == asked > 1:
        result = FoundLines(dict(enumerate(unnumbered, 1)), preamble=len(before) > asked, unnumbered=True)
    else:
        result = FoundLines(found, preamble=bool(before and found))
    if not (cut_off and result.lines):
        return result
    last = max(result.lines)
    if _END.search(result.lines[last]):
        return result
    return FoundLines(
        {number: line for number, line in result.lines.items() if number != last},
        result.preamble,
        result.unnumbered,
        cut=True,
    )


def _numbered_lines(text: str, asked: int) -> tuple[dict[int, str], list[str]]:
    """Numbered lines with what belongs to them, and the lines before the first of them."""
    found: dict[int, str] = {}
    before: list[str] = []
    number = 0  # of the line that text without a number may belong to; 0: of none
    for line in text.splitlines():
        plain, match = line.strip(), NUMBERED.match(line)
        if match and not found.get(int(match[1])):
            number = int(match[1])
            found[number] = "" if _STYLE_ALONE.fullmatch(match[2]) else match[2].strip()
        elif match or _FENCE.match(plain):
            number = 0
        elif not plain:
            number = 0 if found.get(number) else number
        elif number and _goes_on(line, found[number], last=number >= asked):
            found[number] = f"{found[number]} {plain}".strip()
        else:
            number = 0
            before += [] if found else [plain]
    return _apart(found), before


def _apart(found: dict[int, str]) -> dict[int, str]:
    """The lines, and each by itself where several stand in one: `1. Plans costs. 2. Pays bills.` are two.

    Its numbers must go on by one from its own, each after the end of a sentence, and be found nowhere else.
    """
    apart: dict[int, str] = {}
    for first, line in found.items():
        parts = _INNER_NUMBER.split(line)
        texts, numbers = [text.strip() for text in parts[::2]], [int(number) for number in parts[1::2]]
        further = range(first + 1, first + len(texts))
        goes_on = numbers == [*further] and found.keys().isdisjoint(further)
        if goes_on and all(_SENTENCE_END.search(text) for text in texts[:-1]):
            apart.update(zip([first, *further], texts, strict=True))
        else:
            apart[first] = line
    return apart


def _goes_on(line: str, before: str, last: bool) -> bool:
    """Whether text without a number goes on with the numbered line above it; after the last one a remark may stand."""
    plain = line.strip()
    if not before:  # its number, or the name of its style, stood alone
        return True
    if _BULLET.match(plain) or _REMARK.match(plain) or plain.endswith(_COLONS) or _STYLE_ALONE.fullmatch(plain):
        return False
    if not any(character.isalnum() for character in plain):  # a rule between lines
        return False
    is_wrapped = len(before) >= WRAPPED_FROM or bool(_JOINS.search(before))
    ends_above = last or not is_wrapped or bool(_SENTENCE_END.search(before))
    return line[0].isspace() or plain[0].islower() or plain[0].isdigit() or not ends_above


def _opens(lines: list[str]) -> bool:
    """Whether the first of some lines only says what follows: it ends in a colon, or it alone is no bullet."""
    bullets = [bool(_BULLET.match(line)) for line in lines]
    return bool(lines) and (lines[0].endswith(_COLONS) or (len(lines) > 2 and not bullets[0] and all(bullets[1:])))
