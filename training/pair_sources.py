"""Dataset rows, ESCO and labelled sentences -> all the pairs that each source of a recipe has."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from dataset_builder.contract import StageError
from dataset_builder.esco import EscoRelease
from training.dataset_rows import DatasetRows, Row
from training.label_space import LabelSpace
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


@dataclass(frozen=True)
class Inputs:
    """What the command line gave a run, opened."""

    labels: LabelSpace
    dataset: DatasetRows
    esco: EscoRelease | None = None
    skillskape: Sequence[tuple[str, tuple[str, ...]]] = ()
    pseudo_labels: Sequence[tuple[str, tuple[str, ...]]] = ()
    sentences: Sequence[str] = ()


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
    owners = _owners(esco)
    rows = (
        Row(other, skill.label, tuple(dict.fromkeys([skill.label, *owners[other]])))
        for skill in esco.skills
        for other in skill.alternative_labels
    )
    return _of_rows(rows, "alternative_labels", inputs, left_out)


def _owners(esco: EscoRelease) -> dict[str, list[str]]:
    """Name -> labels of the skills that it names: a label of one may be an alternative label of another."""
    owners: dict[str, list[str]] = defaultdict(list, {skill.label: [skill.label] for skill in esco.skills})
    for skill in esco.skills:
        for other in skill.alternative_labels:
            owners[other].append(skill.label)
    return owners


def _labels(inputs: Inputs, left_out: Counter[str]) -> list[TrainingPair]:
    owners = _owners(inputs.esco) if inputs.esco else {}
    rows = (Row(label, label, tuple(dict.fromkeys([label, *owners.get(label, ())]))) for label in inputs.labels.labels)
    return _of_rows(rows, "labels", inputs, left_out)


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


READERS: dict[str, Callable[[Inputs, Counter[str]], list[TrainingPair]]] = {
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
