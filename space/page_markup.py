"""Text that may hold HTML -> text of the same length without markup, so that offsets stay the user's own.

Tags become blanks (or line breaks where a browser would break the line); nothing is interpreted. Everything here is
linear in the length of the text, whatever the text.
"""

from __future__ import annotations

import re
import string

_BLOCK = frozenset(
    """address article aside blockquote br dd div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header
    hr li main nav ol option p pre section table tbody td tfoot th thead title tr ul""".split()
)
_INLINE = frozenset(
    """a abbr acronym b big body button center cite code del em font head html i img input ins kbd label link mark meta
    o:p q s samp small span strike strong sub sup svg time tt u var wbr""".split()
)
_WITH_CONTENT = ("script", "style", "noscript", "template", "iframe", "object")
_TAG = re.compile(r"</?([a-zA-Z][a-zA-Z0-9:]{0,15})(?:[\s/][^<>]{0,2000})?>")
_BREAKS = str.maketrans({"\r": "\n", "\v": "\n", "\f": "\n", "\x85": "\n", "\u2028": "\n", "\u2029": "\n"})
_ODD_BLANKS = re.compile(
    "[\u00a0\u1680\u2000-\u200a\u200e\u200f\u202a-\u202f\u205f\u2061-\u2069\u3000\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]"
)
# Marks of no width: nobody sees them.
NO_WIDTH = "\u00ad\u200b\u2060\ufeff"
_NOTHING_SEEN = re.compile(rf"[\s{NO_WIDTH}]*")
_HALF_LETTERS = re.compile("[\ud800-\udfff]")
# Masks of anonymised ads that are names of tags as well.
_MASKS = ("ADDRESS", "TIME")
_KNOWN = _BLOCK | _INLINE | frozenset(_WITH_CONTENT)
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
# A blank unlike the reader's own: four plain spaces are a gap between table cells, a long tag is not.
_EN_SPACE = "\u2002"
# Feeds give HTML within HTML, "&lt;li&gt;", and some escape that again: "&amp;lt;li&amp;gt;".
_ESCAPED_TAGS = [
    re.compile(rf"{amp}lt;(/?([a-zA-Z][a-zA-Z0-9:]{{0,15}})(?:[\s/](?:[^<>&]|(?!{amp}[lg]t;)&){{0,500}})?){amp}gt;")
    for amp in ("&", "&amp;")
]
_NAMED_BLANKS = re.compile(r"&(?:amp;)?(?:nbsp|ensp|emsp|thinsp|#160|#xa0);", re.IGNORECASE)
# What plain_text.py would read as a line break or a tab.
_NAMED_BREAKS = re.compile(
    r"&(?:amp;)?(?:#0*(?:9|1[02]|823[23])(?![0-9]);?|#[xX]0*(?:[9aAcC]|202[89])(?![0-9a-fA-F]);?|(?:NewLine|Tab);)"
)
_NAMED_BULLETS = re.compile(r"&(?:amp;)?(?:bull|middot|#8226|#183);", re.IGNORECASE)


def blank_markup(text: str) -> str:
    """Text of the same length in which tags, scripts, comments and odd characters are blanks or line breaks."""
    masked = without_odd_blanks(text)
    for escaped_tag in _ESCAPED_TAGS:
        # In a page that has tags of its own, an escaped one is what the page talks about.
        if "lt;" not in masked or any(found.group(1).lower() in _KNOWN for found in _TAG.finditer(masked)):
            break
        masked = escaped_tag.sub(_as_tag, masked)
    if "<" in masked:
        masked = _without_tags(_without_hidden_parts(masked))
    if "&" in masked:
        masked = _NAMED_BLANKS.sub(lambda found: _EN_SPACE * len(found.group()), masked)
        masked = _NAMED_BULLETS.sub(lambda found: "•" + " " * (len(found.group()) - 1), masked)
    return masked


def without_odd_blanks(text: str) -> str:
    """Text of the same length with plain blanks and line breaks alone. Marks of no width are left: plain_text.py."""
    return _ODD_BLANKS.sub(" ", text.replace("\r\n", " \n").translate(_BREAKS))


def _as_tag(found: re.Match[str]) -> str:
    """The tag that is escaped, as long as it was: blanks go where no name ends."""
    if found.group(2).lower() not in _KNOWN:
        return found.group()
    return f"<{found.group(1)}>".ljust(len(found.group()), _EN_SPACE)


def whole_letters(text: str) -> str:
    """Text of the same length whose halves of letters, such as of an emoji cut in two, are "\ufffd": no file, reply or
    encoder takes a half.
    """
    return _HALF_LETTERS.sub("\ufffd", text)


def _without_hidden_parts(text: str) -> str:
    # Not str.lower: a few letters change their length in lower case, and offsets must stay.
    lowered = text.translate(_LOWER)
    for opening, closing in [("<!--", "-->"), *((f"<{name}", f"</{name}") for name in _WITH_CONTENT)]:
        if opening in lowered:
            text = _blank_between(text, lowered, opening, closing)
            lowered = text.translate(_LOWER)
    return text


def _blank_between(text: str, lowered: str, opening: str, closing: str) -> str:
    parts, position = [], 0
    while (start := _find(lowered, opening, position)) >= 0:
        end = _find(lowered, closing, start)
        if end < 0:
            break
        end += len(closing)
        if closing.startswith("</"):
            end = (lowered.find(">", end) + 1) or end
        parts += [text[position:start], " " * (end - start)]
        position = end
    return "".join([*parts, text[position:]])


def _find(lowered: str, mark: str, position: int) -> int:
    """Where a mark stands next, -1 where it does not; a tag is its whole name: "<objectives" is no "<object"."""
    while (found := lowered.find(mark, position)) >= 0:
        position = found + len(mark)
        if not mark[-1].isalpha() or lowered[position : position + 1] in " \t\n/>":
            return found
    return -1


def _without_tags(text: str) -> str:
    masks = [f"<{mask}>" for mask in _MASKS if f"</{mask}>" not in text]
    tags = [found.group(1).lower() for found in _TAG.finditer(text) if found.group() not in masks]
    blocks = sum(tag in _BLOCK for tag in tags)
    # In a page of HTML a line break in the source is only a blank; in an ad with one stray <br> it is a break.
    unbroken, named_breaks = _NAMED_BREAKS.subn(lambda found: _EN_SPACE * len(found.group()), text)
    if blocks >= 2 and blocks * 2 >= text.count("\n") + named_breaks:
        text = unbroken.replace("\n", " ")
    item_end = -1

    def blank(found: re.Match[str]) -> str:
        nonlocal item_end
        if found.group() in masks:
            return found.group()
        name, length, opens = found.group(1).lower(), len(found.group()), found.group()[1] != "/"
        # The paragraph in "<li><p>" starts no line of its own: its bullet stands before it.
        starts_item = opens and item_end >= 0 and bool(_NOTHING_SEEN.fullmatch(text, item_end, found.start()))
        item_end = found.end() if starts_item or (opens and name == "li") else -1
        if opens and name == "li":
            return "\n•" + " " * (length - 2)
        if name in _BLOCK and not starts_item:
            return "\n" + " " * (length - 1)
        # A mask such as <ORGANIZATION> is a word of the ad, not a tag.
        return _EN_SPACE * length if name in _KNOWN else found.group()

    return _TAG.sub(blank, text)
