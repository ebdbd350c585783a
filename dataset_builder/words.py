"""Text -> its words: between spaces, and each character of a script that is written without them."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Thai and Lao, Burmese, Khmer, Japanese kana, Chinese characters.
_UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3040-\u30fa\u30fc-\u30ff\u31f0-\u31ff"
    r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_CHARACTER = re.compile(f"[{_UNSPACED}]")
_WORD = re.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])[\w+#])+")
_GAP = re.compile(f"(?<=[{_UNSPACED}]) (?=[{_UNSPACED}])")


def words_of(text: str) -> list[str]:
    """Words as spaces part them; of a text without spaces each character, and each word of other scripts in it.

    >>> words_of("Cost planning, C++"), words_of("熟悉Python和C++")
    (['Cost', 'planning,', 'C++'], ['熟', '悉', 'Python', '和', 'C++'])
    """
    return _WORD.findall(text) if is_unspaced(text) else text.split()


def joined(words: Iterable[str]) -> str:
    """Words as one text, with spaces where its scripts have them."""
    text = " ".join(words)
    return _GAP.sub("", text) if is_unspaced(text) else text


def is_unspaced(text: str) -> bool:
    """Whether at least half of a text's words are characters of a script without spaces.

    A few of them do not make one: models let such characters slip into English.
    """
    if text.isascii() or not _CHARACTER.search(text):
        return False
    return 2 * len(_CHARACTER.findall(text)) >= len(_WORD.findall(text))
