"""Replies on file -> sentences with their skills, and what became of every request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from dataset_builder.esco import Skill
from dataset_builder.generate import Generation
from dataset_builder.journal import REFUSAL, Entry
from dataset_builder.plan import Ask
from dataset_builder.prompt_families import BULLET_STYLES
from dataset_builder.replies import parse_reply
from dataset_builder.seeded import stable_number
from dataset_builder.sending import NOT_SENT

NO_FAULT = "as asked"
REFUSED_BY_SERVER = "refused by the server"
BULLET_MARKS = ("* ", "- ", "• ", "* ")


@dataclass(frozen=True)
class Sentence:
    """A line that an LLM wrote, with every skill that it was asked to need, the planned one first."""

    text: str
    skills: tuple[Skill, ...]
    style: str
    family: str
    model: str = ""


@dataclass
class Collected:
    """Sentences in plan order; faults of replies by name; how many requests ended how."""

    sentences: list[Sentence] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    failed: dict[int, str] = field(default_factory=dict)
    replies: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


def collect(generation: Generation) -> Collected:
    """Read every reply of the plan with today's parser: the lines of every attempt, for all were paid for."""
    collected = Collected(failed=dict(generation.progress.failed))
    for index, (ask, chain) in enumerate(zip(generation.plan.asks, generation.chains(), strict=True)):
        if not chain.entries:
            collected.failed.setdefault(index, NOT_SENT)
        elif all(entry.kind == REFUSAL for entry in chain.entries):
            collected.failed.setdefault(index, REFUSED_BY_SERVER)
        for entry in chain.entries:
            _read(entry, ask, generation.language, collected)
    return collected


def _read(entry: Entry, ask: Ask, language: str, collected: Collected) -> None:
    collected.replies += 1
    collected.prompt_tokens += entry.prompt_tokens
    collected.completion_tokens += entry.completion_tokens
    if entry.kind == REFUSAL:
        collected.faults[REFUSED_BY_SERVER] += 1
        return
    parsed = parse_reply(entry.text, len(ask.styles), entry.finish_reason, language)
    collected.faults.update(parsed.faults or (NO_FAULT,))
    collected.sentences.extend(_sentences_of(ask, parsed.lines))


def _sentences_of(ask: Ask, lines: dict[int, str]) -> Iterator[Sentence]:
    for position in sorted(lines):
        style = ask.styles[position]
        # The bullet is a matter of form, so the builder sets it: half of the models forget it.
        text = lines[position]
        if style in BULLET_STYLES:
            text = BULLET_MARKS[stable_number(text) % len(BULLET_MARKS)] + text
        yield Sentence(text, ask.skills, style, ask.family)
