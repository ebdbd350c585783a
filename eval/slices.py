"""Queries -> groups of queries that show where a system is strong: by form, mention, gold skills, type and training."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

from dataset_builder.benchmark_files import GoldSentence
from dataset_builder.schema import fold_of
from eval.baselines import words_of
from eval.label_space import SkillNames

BULLETS = tuple("*-•·●▪◦‣»○\N{EN DASH}\N{EM DASH}")
LENGTHS = ((7, "1-7 words"), (15, "8-15 words"), (30, "16-30 words"))


def slices_of(
    queries: Sequence[GoldSentence], names: SkillNames, held_out_folds: Collection[int] = ()
) -> dict[str, dict[str, list[int]]]:
    """Positions of the queries in each group: slice name -> value -> positions; empty groups are left out.

    The slice "training" is there only when folds were held out and the label space knows the skills' URIs.
    """
    slicers: dict[str, Callable[[GoldSentence], str]] = {
        "form": form_of,
        "mention": lambda query: mention_of(query, names),
        "gold skills": lambda query: str(len(query.labels)) if len(query.labels) < 3 else "3 or more",
        "length": length_of,
    }
    if names.types:
        slicers["skill type"] = lambda query: type_of(query, names)
    if held_out_folds and names.uris:
        slicers["training"] = lambda query: seen_in_training(query, names, held_out_folds)
    return {name: _grouped([slicer(query) for query in queries]) for name, slicer in slicers.items()}


def form_of(query: GoldSentence) -> str:
    """Whether the sentence starts with a bullet."""
    return "bullet" if query.sentence.lstrip().startswith(BULLETS) else "no bullet"


def mention_of(query: GoldSentence, names: SkillNames) -> str:
    """Literal where a preferred or alternative label of a gold skill stands in the sentence, word for word."""
    text = _bounded(query.sentence)
    for label in query.labels:
        place = names.position.get(label)
        others = names.alternative_labels[place] if place is not None and names.alternative_labels else ()
        if any(_bounded(name) in text for name in (label, *others) if words_of(name)):
            return "literal"
    return "implicit"


def length_of(query: GoldSentence) -> str:
    """Length of the sentence, in words between spaces."""
    words = len(query.sentence.split())
    return next((name for most, name in LENGTHS if words <= most), "31 words or more")


def type_of(query: GoldSentence, names: SkillNames) -> str:
    """ESCO's type of the gold skills: skill/competence, knowledge, or both."""
    places = [names.position[label] for label in query.labels if label in names.position]
    kinds = {names.types[place] or "unknown" for place in places}
    return kinds.pop() if len(kinds) == 1 else "mixed" if kinds else "unknown"


def seen_in_training(query: GoldSentence, names: SkillNames, held_out_folds: Collection[int]) -> str:
    """Whether the gold skills are of folds that training saw."""
    places = [names.position[label] for label in query.labels if label in names.position]
    held = {fold_of(names.uris[place]) in held_out_folds for place in places}
    return {(): "unknown", (False,): "seen", (True,): "unseen"}.get(tuple(held), "mixed")


def _bounded(text: str) -> str:
    return f" {' '.join(words_of(text))} "


def _grouped(values: Sequence[str]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {value: [] for value in sorted(set(values), key=by_number)}
    for position, value in enumerate(values):
        groups[value].append(position)
    return groups


def by_number(value: str) -> tuple[int, str]:
    """Sort key: values that begin with a number by that number, the others by their letters."""
    digits = re.match(r"\d*", value)
    return (int(digits[0]) if digits and digits[0] else 0, value)
