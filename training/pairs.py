"""Dataset rows, ESCO and labelled sentences -> the training pairs of a stage: mixed, weighted, without held-out skills.

A pair is a text, the id of the skill whose preferred label is its positive, and the ids of all skills known to be asked
for by the text: those are no negatives of it.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from dataset_builder.benchmark_files import text_key
from dataset_builder.contract import StageError
from dataset_builder.esco import EscoRelease
from dataset_builder.schema import fold_of
from training.dataset_rows import DatasetRows, Row
from training.label_space import LabelSpace
from training.recipe import Source, Stage
from training.run_record import SourceCount
from training.skill_lists import list_skills

# Texts that are sentences of ads; only these are augmented and joined.
SENTENCE_SOURCES = frozenset(
    {"synthetic", "co_mentions", "skillskape", "pseudo_labels", "skill_lists", "literal_matches"}
)


@dataclass(frozen=True, slots=True)
class TrainingPair:
    """A text and a skill it asks for; `skills` are the ids of all it is known to ask for, `skill` first."""

    text: str
    skill: int
    skills: tuple[int, ...]
    source: str
    style: str = ""

    @property
    def is_sentence(self) -> bool:
        """Whether the text is a sentence of an ad, and not a label or a definition."""
        return self.source in SENTENCE_SOURCES


# Pairs, and among how many nearest labels -> whether each pair's skill is there.
FoundAgain = Callable[[Sequence[TrainingPair], int], list[bool]]


@dataclass(frozen=True)
class Inputs:
    """What the command line gave a run, opened."""

    labels: LabelSpace
    dataset: DatasetRows
    esco: EscoRelease | None = None
    skillskape: Sequence[tuple[str, tuple[str, ...]]] = ()
    pseudo_labels: Sequence[tuple[str, tuple[str, ...]]] = ()
    sentences: Sequence[str] = ()


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
        made = _READERS[name](inputs, left_out)
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


def _of_rows(rows: Iterable[Row], name: str, inputs: Inputs, left_out: Counter[str]) -> list[TrainingPair]:
    pairs = []
    for row in rows:
        skill = inputs.labels.id_of(row.skill)
        if skill is None:
            left_out[f"{name}: label not in the label space"] += 1
            continue
        pairs.append(TrainingPair(row.sentence, skill, inputs.labels.ids_of(row.skills), name, row.style))
    return pairs


def _synthetic(inputs: Inputs, left_out: Counter[str]) -> list[TrainingPair]:
    return _of_rows((row for row in inputs.dataset.rows if len(row.skills) == 1), "synthetic", inputs, left_out)


def _co_mentions(inputs: Inputs, left_out: Counter[str]) -> list[TrainingPair]:
    return _of_rows((row for row in inputs.dataset.rows if len(row.skills) > 1), "co_mentions", inputs, left_out)


def _descriptions(inputs: Inputs, left_out: Counter[str]) -> list[TrainingPair]:
    esco = _esco_of(inputs, "descriptions")
    rows = (Row(skill.description, skill.label, (skill.label,)) for skill in esco.skills if skill.description)
    return _of_rows(rows, "descriptions", inputs, left_out)


def _alternative_labels(inputs: Inputs, left_out: Counter[str]) -> list[TrainingPair]:
    """Alternative label -> label; skills that share an alternative label are no negatives of each other."""
    esco = _esco_of(inputs, "alternative_labels")
    # A name of one skill may be an alternative label of another.
    owners: dict[str, list[str]] = defaultdict(list, {skill.label: [skill.label] for skill in esco.skills})
    for skill in esco.skills:
        for other in skill.alternative_labels:
            owners[other].append(skill.label)
    rows = (
        Row(other, skill.label, tuple(dict.fromkeys([skill.label, *owners[other]])))
        for skill in esco.skills
        for other in skill.alternative_labels
    )
    return _of_rows(rows, "alternative_labels", inputs, left_out)


def _labels(inputs: Inputs, left_out: Counter[str]) -> list[TrainingPair]:
    return _of_rows((Row(label, label, (label,)) for label in inputs.labels.labels), "labels", inputs, left_out)


def _skillskape(inputs: Inputs, left_out: Counter[str]) -> list[TrainingPair]:
    if not inputs.skillskape:
        raise StageError("the recipe asks for SkillSkape", "Give --skillskape CSV_OR_HUB_ID")
    return _of_rows(_rows_of(inputs.skillskape), "skillskape", inputs, left_out)


def _pseudo_labels(inputs: Inputs, left_out: Counter[str]) -> list[TrainingPair]:
    if not inputs.pseudo_labels:
        raise StageError("the recipe asks for pseudo_labels", "Give --pseudo-labels CSV, of training.pseudo_labels")
    return _of_rows(_rows_of(inputs.pseudo_labels), "pseudo_labels", inputs, left_out)


def _rows_of(sentences: Iterable[tuple[str, tuple[str, ...]]]) -> Iterator[Row]:
    """One row a sentence and label."""
    for sentence, labels in sentences:
        for label in labels if sentence.strip() else ():
            yield Row(" ".join(sentence.split()), label, (label, *labels))


def _skill_lists(inputs: Inputs, left_out: Counter[str]) -> list[TrainingPair]:
    esco = _esco_of(inputs, "skill_lists")
    rows = (Row(line.text, label, (label, *line.labels)) for line in list_skills(esco) for label in line.labels)
    return _of_rows(rows, "skill_lists", inputs, left_out)


def _literal_matches(inputs: Inputs, left_out: Counter[str]) -> list[TrainingPair]:
    from training.literal_matches import match_literally

    esco = _esco_of(inputs, "literal_matches")
    if not inputs.sentences:
        raise StageError("the recipe asks for literal_matches", "Give --sentences FILE with one sentence a line")
    rows = (
        Row(match.sentence, label, (label, *match.labels))
        for match in match_literally(inputs.sentences, esco)
        for label in match.labels
    )
    return _of_rows(rows, "literal_matches", inputs, left_out)


def _esco_of(inputs: Inputs, source: str) -> EscoRelease:
    if inputs.esco is None:
        raise StageError(f"the recipe asks for {source}", "Give --esco ZIP_OR_FOLDER_OR_VERSION")
    return inputs.esco


_READERS: dict[str, Callable[[Inputs, Counter[str]], list[TrainingPair]]] = {
    "synthetic": _synthetic,
    "co_mentions": _co_mentions,
    "descriptions": _descriptions,
    "alternative_labels": _alternative_labels,
    "labels": _labels,
    "skillskape": _skillskape,
    "pseudo_labels": _pseudo_labels,
    "skill_lists": _skill_lists,
    "literal_matches": _literal_matches,
}
