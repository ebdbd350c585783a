"""Skill(s) -> chat messages, in versioned prompt families.

A family has one or more sheets. A sheet fixes which lines a reply holds and in which order, and shows it with two
worked examples: small models then keep to it. What all requests of a sheet share comes first, so that a server can
reuse its work on it; what differs is short and comes last. A reply is numbered lines, so that any model serves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from dataset_builder.esco import Skill
from dataset_builder.languages import name_of
from dataset_builder.words import is_unspaced

DESCRIPTION_WORDS = 25
DESCRIPTION_CHARACTERS = 60  # of Chinese, Japanese or Thai, which has no spaces to count words by
Message = dict[str, str]


@dataclass(frozen=True)
class Sheet:
    """One prompt: system text, worked examples as (user, assistant) texts, user template, and the lines' styles.

    `user` has the placeholder {skill}: one line "label (description)" for each skill; and, where the family names an
    occupation, {occupation}: its label.
    """

    system: str
    examples: tuple[tuple[str, str], ...]
    styles: tuple[str, ...]
    user: str = "Skill: {skill}"

    def prefix(self, language: str = "en") -> list[Message]:
        """The messages that all requests of the sheet share, for lines in a language (two letters)."""
        turns = [
            {"role": role, "content": text}
            for example in self.examples
            for role, text in zip(("user", "assistant"), example, strict=True)
        ]
        return [{"role": "system", "content": self.system_in(language)}, *turns]

    def system_in(self, language: str) -> str:
        """The system text; the sheets are English, so that another language must be asked for."""
        return self.system if language == "en" else f"{self.system} Write the lines in {name_of(language)}."

    def readable(self, language: str = "en") -> str:
        """System text and worked examples as one text, for the manifest and the card."""
        turns = [f"[user]\n{user}\n[assistant]\n{assistant}" for user, assistant in self.examples]
        return "\n\n".join([self.system_in(language), *turns])

    def user_text(self, skills: Sequence[Skill], occupation: str = "") -> str:
        """The last message: what this request is about."""
        return self.user.format(skill="; ".join([describe(skill) for skill in skills]), occupation=occupation)

    def messages(self, skills: Sequence[Skill], language: str = "en", occupation: str = "") -> list[Message]:
        """Chat messages that ask about `skills`."""
        return [*self.prefix(language), {"role": "user", "content": self.user_text(skills, occupation)}]


@dataclass(frozen=True)
class PromptFamily:
    """A named set of sheets. A skill's requests go round the sheets; `skills_per_request` is 1, or more together.

    `names_occupation`: a request names an ESCO occupation that needs the skill, as the sector of the ad.
    """

    name: str
    version: str
    sheets: tuple[Sheet, ...]
    skills_per_request: int = 1
    names_occupation: bool = False

    @property
    def needs_occupations(self) -> bool:
        """Whether requests can be made for a taxonomy with occupations only."""
        return self.names_occupation or self.skills_per_request > 1


@lru_cache(maxsize=100_000)  # a plan asks for it in every part, and a resume twice
def describe(skill: Skill, words: int = DESCRIPTION_WORDS) -> str:
    """The skill's label and the first words of its description, cut at a sentence's end where one is near."""
    if is_unspaced(skill.description):
        short = _first_characters(skill.description, DESCRIPTION_CHARACTERS)
        return _in_brackets(skill.label, short.rstrip(" .,;:。，、；："))  # noqa: RUF001
    parts = skill.description.split(maxsplit=words)
    short = " ".join(parts[:words])
    if len(parts) > words:
        end = short.rfind(". ")
        short = short[:end] if end > len(short) // 2 else short
    return _in_brackets(skill.label, short.rstrip(" .,;:"))


def _in_brackets(label: str, description: str) -> str:
    return f"{label} ({description})" if description else label


def _first_characters(text: str, count: int) -> str:
    """The beginning of a text without spaces, cut at a sentence's end where one is near."""
    short = text[:count]
    end = short.rfind("。") if len(text) > count else -1
    return short[:end] if end > len(short) // 2 else short
