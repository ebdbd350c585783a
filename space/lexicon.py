"""Names and aliases of skills -> the places in a text where they are written word for word.

Short names are the hard part: "R" is a skill in "R and SQL" and none in "R&D" or "J. R. Smith"; "ADR" is an alias and
"adr" is not. Aliases with capitals match only as they are spelled; labels with capitals in lower case and capitalised
as well, unless that is a word ("Polish", "polish"). Names that are also everyday words, and labels in another case, are
marked as ambiguous, and the finder asks the encoder before it believes them.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from skill_index import Skill

MAX_WORDS = 9
LONGEST_ACRONYM = 6  # characters; a longer name in capitals is no acronym
AROUND_A_LETTER = 60  # characters that say what a single letter is; of a long text more take their time
# In ESCO a name stands for four skills at most.
MAX_SKILLS_OF_A_NAME = 20
_WORD = re.compile(r"\.?[^\W_]+(?:[+#]+|(?:[.&'’](?=[^\W_])[^\W_]+[+#]*)*[²³]?)")
_POSSESSIVE = re.compile(r"['’]s$")
_QUALIFIED = re.compile(r"(.+?) \([^()]+\)$")
# A single letter after one of these is a grade or a place, not a programming language.
_BEFORE_A_LETTER = frozenset(
    """grade class category section block building plan type group level vitamin licence license part schedule
    hepatitis appendix annex exhibit option room floor suite unit gate route stage phase team zone item point line
    mr mrs ms dr prof""".split()
)
_A_LETTER_BEFORE_SLASH = re.compile(r"(?<![^\W_])[^\W_]/$")
_SLASH_AND_A_LETTER = re.compile(r"/[^\W_](?![\w+#])")
_YEAR_OR_DRIVE = re.compile(r"\)\s*(?:19|20)\d\d|:(?:\\|\s*drive)")
_EVERYDAY_IN_CAPITALS = frozenset(
    "it less sass us or re all st an as at be by do go he if in is me my no of on so to up we plan".split()
)


# Products that are called like things; the others ("Python", "Jenkins") are only themselves in a job ad.
_EVERYDAY_NAMES = frozenset(
    """absorb assembly canvas chef eclipse frostbite puppet rage ruby salt scratch shiva source spark swift unity
    ml""".split()
)


@dataclass(frozen=True)
class NameFound:
    """A name of skill number `skill` at `start:end` of the text. `kind` is "label" or "alias".

    An ambiguous name is also an everyday word or a common abbreviation, and needs the encoder's consent.
    """

    skill: int
    start: int
    end: int
    kind: str
    ambiguous: bool


@dataclass(frozen=True)
class _Name:
    skill: int
    spelled: str
    kind: str
    exact_case: bool
    ambiguous: bool
    other_case: bool = False


class Lexicon:
    """All names of a list of skills, looked up by their words.

    `written_only` holds the skills whose own name is so short that only its spelling is evidence (R, C++, CSS). In a
    list that is in capitals throughout, they tell only single letters and everyday words from the words of a text.
    """

    def __init__(self, skills: Sequence[Skill]) -> None:
        self._names: dict[str, list[_Name]] = defaultdict(list)
        long_labels = [skill.label for skill in skills if len(skill.label) > LONGEST_ACRONYM]
        self._in_capitals = bool(long_labels) and all(label.isupper() for label in long_labels)
        self.written_only = frozenset(
            i for i, skill in enumerate(skills) if _is_short_name(skill.label) and self._has_case(skill.label)
        )
        everyday = _everyday_words(skills)
        self._words_all_the_same = everyday | _EVERYDAY_IN_CAPITALS
        for number, skill in enumerate(skills):
            self._add(number, skill.label, "label")
            qualified = _QUALIFIED.match(skill.label)
            if qualified:
                self._add(number, qualified[1], "label", ambiguous=qualified[1].lower() in everyday)
        for number, skill in enumerate(skills):
            for alias in skill.alternative_labels:
                self._add(number, alias, "alias")
        # First word of a name -> words of the longest name that begins so: most words of a text begin none.
        self._longest: dict[str, int] = {}
        for key, names in self._names.items():
            if any(name.kind == "label" and not name.ambiguous for name in names):
                self._names[key] = [name for name in names if name.kind == "label"]
            first, *others = key.split(" ")
            self._longest[first] = max(1 + len(others), self._longest.get(first, 0))

    def _has_case(self, name: str) -> bool:
        """Whether capitals tell a name from a word; in a list in capitals only of single letters and everyday words."""
        return not self._in_capitals or len(name) == 1 or name.lower() in _EVERYDAY_IN_CAPITALS

    def _add(self, skill: int, spelled: str, kind: str, ambiguous: bool = False) -> None:
        spelled = unicodedata.normalize("NFC", spelled)
        words = [word for word, _, _ in _words(spelled)]
        spelled = words[0] if len(words) == 1 and _POSSESSIVE.search(spelled) else spelled
        if not words or len(words) > MAX_WORDS or (kind == "alias" and _is_weak_alias(spelled)):
            return
        has_capitals = len(words) == 1 and any(letter.isupper() for letter in spelled)
        exact_case = has_capitals and self._has_case(spelled)
        is_everyday = len(words) == 1 and not exact_case
        short_alias = kind == "alias" and len(spelled) <= 4
        is_word = words[0].lower() in self._words_all_the_same
        name = _Name(
            skill,
            spelled,
            kind,
            exact_case=exact_case or ambiguous,
            ambiguous=ambiguous or is_everyday or short_alias,
            other_case=exact_case and kind == "label" and not ambiguous and not is_word and len(spelled) > 1,
        )
        key = " ".join(map(_folded, words))
        same = self._names[key]
        if len(same) < MAX_SKILLS_OF_A_NAME and all(other.skill != skill for other in same):
            same.append(name)

    def find(self, text: str) -> list[NameFound]:
        """All names in `text`, longest first at each place; a name inside a longer one does not count."""
        words = list(_words(text))
        folded = [_folded(word) for word, _, _ in words]
        shouting = _is_shouting(text)
        found: list[NameFound] = []
        covered = -1
        for i in range(len(words)):
            if words[i][1] < covered:
                continue
            for j in range(min(len(words), i + self._longest.get(folded[i], 0)), i, -1):
                start, end = words[i][1], words[j - 1][2]
                key = " ".join(folded[i:j])
                names = [name for name in self._names.get(key, ()) if _fits(name, text, start, end, shouting)]
                if names:
                    for name in names:
                        doubtful = name.ambiguous or _is_recased(name, text[start:end])
                        found.append(NameFound(name.skill, start, end, name.kind, doubtful))
                    covered = end
                    break
        return found


def _everyday_words(skills: Sequence[Skill]) -> frozenset[str]:
    """Words that names of skills use in lower case ("source", "canvas"), and some that are words all the same."""
    written = {word for skill in skills for word, _, _ in _words(skill.label) if word.islower()}
    return frozenset(written) | _EVERYDAY_NAMES


def _words(text: str) -> Iterator[tuple[str, int, int]]:
    """Words with their places, without the 's of a possessive: "SQL's" is SQL."""
    for found in _WORD.finditer(text):
        word = _POSSESSIVE.sub("", found.group())
        yield word, found.start(), found.start() + len(word)


def _folded(word: str) -> str:
    """Lower case, and without the plural s: "wind turbines" and "wind turbine" are one name, "APIs" and "API" too."""
    lowered = word.lower().replace("’", "'")
    if len(word) > 2 and word.endswith("s") and word[:-1].isupper():
        return lowered[:-1]
    if len(lowered) > 4 and lowered.endswith("s") and not lowered.endswith(("ss", "us", "is")):
        return lowered[:-1]
    return lowered


def _is_short_name(label: str) -> bool:
    if " " in label or len(label) > LONGEST_ACRONYM:
        return False
    return label.isupper() or (len(label) <= 4 and not label.isalpha())


def _is_weak_alias(alias: str) -> bool:
    """An alias too short to mean anything by its spelling: "re", "ng", "cT", "Io", "tie"."""
    if len(alias) > 3:
        return False
    return sum(letter.isupper() for letter in alias) < 2 or alias.lower() in _EVERYDAY_IN_CAPITALS


def _is_shouting(text: str) -> bool:
    letters = [letter for letter in text if letter.isalpha()]
    return len(letters) > 12 and sum(letter.isupper() for letter in letters) > 0.8 * len(letters)


def _fits(name: _Name, text: str, start: int, end: int, shouting: bool) -> bool:
    """Whether what is written at `start:end` is this name and not something that looks like it."""
    if not name.exact_case:
        return True
    written = text[start:end]
    spelled = name.spelled if name.kind == "alias" or not name.ambiguous else name.spelled.split(" (")[0]
    is_plural = len(spelled) > 1 and spelled.isupper() and written == f"{spelled}s"
    if written != spelled and not is_plural and not _is_recased(name, written):
        return False
    if shouting and written.lower() in _EVERYDAY_IN_CAPITALS:
        return False
    if len(written) == 1:
        return _stands_alone(text, start, end)
    return text[start - 1 : start] not in ("@", "/") or len(written) > 2


def _is_recased(name: _Name, written: str) -> bool:
    """Whether a label that has capitals is written without, or with the first alone: "sql", "Matlab"."""
    return name.other_case and written != name.spelled and written in (name.spelled.lower(), name.spelled.capitalize())


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether a single letter is a name of its own: not R&D, A/R or Windows(R), not an initial, not "Grade R"."""
    near = text[max(0, start - AROUND_A_LETTER) : start]
    before, after = near.rstrip(), text[end : end + AROUND_A_LETTER]
    if before[-1:] in ("&", "'", "’", "+", "#", "-", "°"):
        return False
    if after.lstrip()[:1] in ("&", "+", "#", "'", "’") or after[:1] in ("-", "'", "’"):
        return False
    if _A_LETTER_BEFORE_SLASH.search(before) or _SLASH_AND_A_LETTER.match(after) or _YEAR_OR_DRIVE.match(after):
        return False
    if re.search(r"\w\($", near) and after[:1] == ")":
        return False
    previous = (before.split() or [""])[-1].strip("(,.;:").lower()
    if previous in _BEFORE_A_LETTER or re.match(r"\s*\d", after):
        return False
    # "R. Smith": an initial with a capitalised word after it, or another initial before it.
    if re.match(r"\.\s*[A-Z]", after) and (not before or before.split()[-1][:1].isupper()):
        return False
    return not re.search(r"\b[A-Z]\.$", before)
