"""The pairs of a recipe's sources -> the training pairs of a stage: mixed, weighted, without held-out skills.

A pair is a text, the id of the skill whose preferred label is its positive, and the ids of all skills known to be asked
for by the text: those are no negatives of it.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from dataset_builder.benchmark_files import text_key
from dataset_builder.contract import StageError
from dataset_builder.schema import fold_of
from training.label_space import LabelSpace
from training.pair_sources import READERS, Inputs, TrainingPair
from training.recipe import Source, Stage
from training.run_record import SourceCount

# Pairs, and among how many nearest labels -> whether each pair's skill is there.
FoundAgain = Callable[[Sequence[TrainingPair], int], list[bool]]


@dataclass(frozen=True)
class StagePairs:
    """The pairs of one stage in a stable order, with what was left out and why."""

    pairs: tuple[TrainingPair, ...]
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def counts(self) -> list[SourceCount]:
        """Pairs and skills by source, in order of first appearance."""
        skills: dict[str, set[int]] = defaultdict(set)
        for pair in self.pairs:
            skills[pair.source].add(pair.skill)
        sizes = Counter(pair.source for pair in self.pairs)
        return [SourceCount(name=name, pairs=sizes[name], skills=len(found)) for name, found in skills.items()]


def collect_pairs(
    stage: Stage,
    inputs: Inputs,
    seed: int,
    held_out_folds: Sequence[int] = (),
    forbidden: Iterable[str] = (),
    found_again: FoundAgain | None = None,
) -> StagePairs:
    """Make a stage's training pairs.

    Args:
        stage: names the sources, their weights and limits.
        inputs: what there is to draw from.
        seed: decides which pairs stay where a limit or a weight cuts.
        held_out_folds: folds of skills that must not be seen; a text that asks for one of them is left out.
        forbidden: sentences of benchmarks; a text that equals one, whatever its case and spacing, is left out.
        found_again: decides which pairs a source with `round_trip` keeps.

    Raises:
        StageError: a source's flag was not given, one of its own filters leaves nothing of it, or nothing is left to
            train on.
    """
    left_out: Counter[str] = Counter()
    hidden = hidden_skills(inputs.labels, held_out_folds)
    banned = {text_key(sentence) for sentence in forbidden}
    mixed: list[TrainingPair] = []
    for name, source in stage.sources.items():
        made = _knowing_all_skills(READERS[name](inputs, left_out))
        kept = [pair for pair in made if _is_allowed(pair, hidden, banned, left_out)]
        if source.round_trip is not None:
            if found_again is None:
                raise StageError(f"source {name!r} has round_trip, and no encoder was given")
            again = found_again(kept, source.round_trip)
            left_out[f"{name}: skill not found again"] += again.count(False)
            found = [pair for pair, is_found in zip(kept, again, strict=True) if is_found]
            kept = _some_left(found, kept, name, f"round_trip: {source.round_trip}")
        mixed += _portion(kept, source, name, f"{seed}:{stage.name}:{name}")
    if stage.pairs_limit is not None and stage.pairs_limit < len(mixed):
        mixed = _sample(mixed, stage.pairs_limit, f"{seed}:{stage.name}")
    if not mixed:
        raise StageError(f"stage {stage.name!r} has no training pair", "Do the dataset's labels stand in ESCO?")
    return StagePairs(tuple(mixed), {reason: count for reason, count in left_out.items() if count})


def hidden_skills(labels: LabelSpace, folds: Sequence[int]) -> set[int]:
    """Ids of the skills of some folds.

    Raises:
        StageError: the skills have no URIs to tell folds by.
    """
    if not folds:
        return set()
    if not labels.ids_by_uri:
        raise StageError("held_out_folds needs the skills' URIs", "Give --esco, or a dataset with the config 'skills'")
    return {skill for uri, skill in labels.ids_by_uri.items() if fold_of(uri) in folds}


def _knowing_all_skills(pairs: Sequence[TrainingPair]) -> list[TrainingPair]:
    """A source's pairs, of which those with the same text ask for the skills of each other: rows may hold one each."""
    keys = [text_key(pair.text) for pair in pairs]
    asked: dict[str, dict[int, None]] = defaultdict(dict)
    for key, pair in zip(keys, pairs, strict=True):
        asked[key].update(dict.fromkeys(pair.skills))
    return [
        pair
        if len(pair.skills) == len(asked[key])
        else replace(pair, skills=tuple(dict.fromkeys([*pair.skills, *asked[key]])))
        for key, pair in zip(keys, pairs, strict=True)
    ]


def _is_allowed(pair: TrainingPair, hidden: set[int], banned: set[str], left_out: Counter[str]) -> bool:
    if hidden and not hidden.isdisjoint(pair.skills):
        left_out["held-out skill"] += 1
        return False
    if banned and text_key(pair.text) in banned:
        left_out["benchmark sentence"] += 1
        return False
    return True


def _portion(pairs: list[TrainingPair], source: Source, name: str, seed: str) -> list[TrainingPair]:
    """Cut a source to its styles, skills with enough pairs, skills, pairs a skill, limit and weight, in this order."""
    if source.styles:
        of_styles = [pair for pair in pairs if pair.style in source.styles]
        there = ", ".join(sorted({pair.style for pair in pairs} - {""})) or "none"
        pairs = _some_left(of_styles, pairs, name, f"styles: [{', '.join(source.styles)}]", f"Styles there: {there}")
    if source.at_least is not None:
        sizes = Counter(pair.skill for pair in pairs)
        enough = [pair for pair in pairs if sizes[pair.skill] >= source.at_least]
        pairs = _some_left(
            enough, pairs, name, f"at_least: {source.at_least}", f"Most a skill: {max(sizes.values(), default=0)}"
        )
    if source.skills is not None:
        every = sorted({pair.skill for pair in pairs})
        kept = set(random.Random(seed).sample(every, min(source.skills, len(every))))
        pairs = [pair for pair in pairs if pair.skill in kept]
    if source.per_skill is not None:
        pairs = _at_most_per_skill(pairs, source.per_skill, seed)
    if source.limit is not None:
        pairs = _sample(pairs, source.limit, seed)
    whole, part = divmod(round(source.weight * len(pairs)), len(pairs)) if pairs else (0, 0)
    weighted = pairs * whole + _sample(pairs, part, f"{seed}:part")
    return _some_left(weighted, pairs, name, f"weight: {source.weight:g}")


def _some_left(
    kept: list[TrainingPair], before: list[TrainingPair], name: str, cut: str, remedy: str = ""
) -> list[TrainingPair]:
    """What a source's own setting keeps.

    Raises:
        StageError: nothing of what was there: the recipe names a source that the run would do without.
    """
    if before and not kept:
        raise StageError(f"source {name!r}: {cut} keeps none of its {len(before):,} pairs", remedy)
    return kept


def _at_most_per_skill(pairs: list[TrainingPair], most: int, seed: str) -> list[TrainingPair]:
    positions: dict[int, list[int]] = defaultdict(list)
    for position, pair in enumerate(pairs):
        positions[pair.skill].append(position)
    draw = random.Random(seed)
    kept = [place for places in positions.values() for place in draw.sample(places, min(most, len(places)))]
    return [pairs[position] for position in sorted(kept)]


def _sample(pairs: list[TrainingPair], count: int, seed: str) -> list[TrainingPair]:
    if count >= len(pairs):
        return pairs
    chosen = random.Random(seed).sample(range(len(pairs)), count)
    return [pairs[position] for position in sorted(chosen)]
