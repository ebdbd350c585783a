"""An ESCO release -> lines that list names of skills which go together, as real ads do: pairs without an LLM.

Real sentences ask for about two skills each, often as a bare list ("Experience with X, Y and Z"). Partners are
essential skills of one occupation, so they really occur together; each is named by one of its labels. Everything is
drawn by hash, so that the same release gives the same lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dataset_builder.co_mentions import CoMentions
from dataset_builder.esco import EscoRelease, Skill
from dataset_builder.seeded import stable_number

KNOWLEDGE = "knowledge"
# Names of knowledge are nouns, names of competences start with a verb.
NOUN_LINES = (
    "{}",
    "Experience with {}",
    "Knowledge of {}",
    "Good understanding of {}.",
    "You are familiar with {}.",
    "Proficiency in {} is a plus",
    "Solid background in {}",
    "Degree or training in {} or a related field.",
)
VERB_LINES = (
    "{}",
    "You {}.",
    "Ability to {}",
    "Your tasks: {}",
    "Main duty: {}.",
    "In this role you will {}.",
    "Proven track record: {}",
    "We count on you to {}.",
)
LAST = (" and ", " or ", " & ", ", ")
SEPARATORS = (", ", ", ", "; ", " / ")


@dataclass(frozen=True)
class SkillList:
    """A line and the labels of the skills that it names, the one it was made for first."""

    text: str
    labels: tuple[str, ...]


def list_skills(esco: EscoRelease, lists_per_skill: int = 1) -> Iterator[SkillList]:
    """Yield `lists_per_skill` lines for each skill, in the release's order.

    A skill that no occupation needs, or whose partners are of the other type, stands alone in its line.
    """
    co_mentions = CoMentions(esco)
    for skill in esco.skills:
        for number in range(lists_per_skill):
            salt = f"lists|{number}"
            partners = co_mentions.partners_of(skill, salt)
            listed = [skill, *(one for one in partners if _is_noun(one) == _is_noun(skill))]
            yield SkillList(_line(listed, f"{salt}|{skill.uri}"), tuple(one.label for one in listed))


def _line(listed: Sequence[Skill], salt: str) -> str:
    order = sorted(listed, key=lambda skill: stable_number(f"{salt}|order|{skill.uri}"))
    names = [_name(skill, salt) for skill in order]
    line = _drawn(NOUN_LINES if _is_noun(listed[0]) else VERB_LINES, f"{salt}|line")
    return line.format(_joined(names, salt))


def _joined(names: Sequence[str], salt: str) -> str:
    if len(names) == 1:
        return names[0]
    return _drawn(SEPARATORS, f"{salt}|separator").join(names[:-1]) + _drawn(LAST, f"{salt}|last") + names[-1]


def _name(skill: Skill, salt: str) -> str:
    """One of the skill's labels; the preferred one as often as any other."""
    return _drawn((skill.label, *skill.alternative_labels), f"{salt}|name|{skill.uri}")


def _is_noun(skill: Skill) -> bool:
    return skill.skill_type == KNOWLEDGE


def _drawn(choices: Sequence[str], salt: str) -> str:
    return choices[stable_number(salt) % len(choices)]
