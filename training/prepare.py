"""A recipe and its inputs' places -> everything that a run is made from, read and hashed."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from dataset_builder.contract import StageError, sha256_of_lines
from dataset_builder.esco import EscoRelease, read_esco
from training.base_model import BaseModel, find_base_model
from training.dataset_rows import DatasetRows, read_dataset
from training.label_space import LabelSpace, label_space_of_esco, label_space_of_rows
from training.literal_matches import read_sentences
from training.pair_sources import Inputs
from training.pairs import StagePairs, collect_pairs
from training.recipe import Recipe, Stage
from training.round_trip import RoundTrip
from training.run_record import ModelSource
from training.skillskape import read_skillskape
from training.source_files import hashes_of, teacher_of
from training.validation import ValidationSet, read_validation


@dataclass(frozen=True)
class RunOptions:
    """What the command line gave, as given."""

    dataset: str
    base_model: str
    out: Path
    esco: tuple[str, ...] = ()
    skillskape: str | None = None
    pseudo_labels: str | None = None
    sentences: str | None = None
    validation: str | None = None
    metric: str | None = None
    name: str | None = None
    version: str | None = None
    max_steps: int | None = None
    watts: float | None = None
    threads: int | None = None
    keep_checkpoints: bool = False
    command: Sequence[str] = ()


@dataclass(frozen=True)
class Prepared:
    """A run's inputs, read, and the pairs of its stages."""

    recipe: Recipe
    options: RunOptions
    base: BaseModel
    inputs: Inputs
    validation: ValidationSet | None
    pairs: tuple[StagePairs, ...]
    found_again: RoundTrip
    sources_sha256: dict[str, str] = field(default_factory=dict)
    teacher: ModelSource | None = None

    def with_seed(self, seed: int, out: Path) -> Prepared:
        """The same inputs, not read again, for a run with another seed in another folder."""
        recipe = dataclasses.replace(self.recipe, seed=seed)
        pairs = _pairs_of(recipe, self.inputs, self.validation, self.found_again)
        return dataclasses.replace(self, recipe=recipe, options=dataclasses.replace(self.options, out=out), pairs=pairs)

    @cached_property
    def sha256(self) -> str:
        """Hash of every stage's pairs, of ESCO's links where they are used, and of what chooses the checkpoint."""
        lines = [f"{one.text}\t{one.skill}\t{one.skills}" for stage in self.pairs for one in stage.pairs]
        if self.inputs.esco and any(_uses_links(stage) for stage in self.recipe.stages):
            links = (self.inputs.esco.broader, self.inputs.esco.related)
            lines += [f"{uri}\t{others}" for one in links for uri, others in one.items()]
        if self.validation and self.recipe.validation.times_per_epoch:
            lines += [f"{one.name}\t{query}" for one in self.validation.benchmarks for query in one.queries]
        return sha256_of_lines(lines)

    @property
    def identity(self) -> dict[str, Any]:
        """What must be equal for two runs to be the same one."""
        return {
            "recipe": self.recipe.as_dict(),
            "dataset_sha256": self.inputs.dataset.sha256,
            "label_space_sha256": self.inputs.labels.sha256,
            "base_model_sha256": self.base.source.weights_sha256,
            "inputs_sha256": self.sha256,
        }


def prepare(recipe: Recipe, options: RunOptions, kept_in: Path | None = None) -> Prepared:
    """Read every input and make the stages' pairs. `kept_in` keeps what the round trip answers; None writes nothing.

    Raises:
        StageError: an input that cannot be read, or a stage without pairs.
    """
    validation = read_validation(options.validation) if options.validation else None
    base = find_base_model(options.base_model)
    dataset = read_dataset(options.dataset)
    esco = read_esco(options.esco) if options.esco else None
    inputs = Inputs(
        labels=_labels_of(dataset, esco),
        dataset=dataset,
        esco=esco,
        skillskape=read_skillskape(options.skillskape) if options.skillskape and recipe.needs("skillskape") else (),
        pseudo_labels=_pseudo_labels(options.pseudo_labels) if recipe.needs("pseudo_labels") else (),
        sentences=read_sentences(options.sentences) if options.sentences and recipe.needs("literal_matches") else (),
    )
    if esco:
        _check_relations(recipe, esco)
    found_again = RoundTrip(base.folder, inputs.labels.labels, recipe.precision, base.source.weights_sha256, kept_in)
    pairs = _pairs_of(recipe, inputs, validation, found_again)
    if options.max_steps:
        recipe = _cut_short(recipe, pairs, options.max_steps)
    files = _files_of(recipe, options)
    teacher = teacher_of(files["pseudo_labels"]) if "pseudo_labels" in files else None
    return Prepared(recipe, options, base, inputs, validation, pairs, found_again, hashes_of(files), teacher)


def _files_of(recipe: Recipe, options: RunOptions) -> dict[str, str]:
    """The files of sentences that were given and that the recipe asks for, by flag."""
    given = {
        "skillskape": (options.skillskape, "skillskape"),
        "pseudo_labels": (options.pseudo_labels, "pseudo_labels"),
        "sentences": (options.sentences, "literal_matches"),
    }
    return {flag: path for flag, (path, source) in given.items() if path and recipe.needs(source)}


def _pairs_of(
    recipe: Recipe, inputs: Inputs, validation: ValidationSet | None, found_again: RoundTrip
) -> tuple[StagePairs, ...]:
    forbidden = validation.forbidden if validation else ()
    return tuple(
        collect_pairs(stage, inputs, recipe.seed, recipe.held_out_folds, forbidden, found_again)
        for stage in recipe.stages
    )


def _cut_short(recipe: Recipe, pairs: Sequence[StagePairs], most: int) -> Recipe:
    """The recipe with `max_steps` of `most` in the stages that have more steps than that."""
    stages = (
        dataclasses.replace(stage, max_steps=most) if _steps_of(stage, len(one.pairs)) > most else stage
        for stage, one in zip(recipe.stages, pairs, strict=True)
    )
    return dataclasses.replace(recipe, stages=tuple(stages))


def _steps_of(stage: Stage, pairs: int) -> int:
    """Steps of a stage: each process has its share of the batches, and a step takes `gradient_accumulation` of them."""
    batches = pairs // min(stage.batch_size, pairs) // int(os.environ.get("WORLD_SIZE", "1"))
    return stage.max_steps or stage.epochs * -(-batches // stage.gradient_accumulation)


def _pseudo_labels(name: str | None) -> list[tuple[str, tuple[str, ...]]]:
    return read_skillskape(name, "the CSV that training.pseudo_labels wrote") if name else []


def _uses_links(stage: Stage) -> bool:
    """Whether ESCO's hierarchy and related skills have a say in what is a negative."""
    return "linked" in stage.loss.mask or (stage.negatives.kind == "hierarchy" and stage.negatives.count > 0)


def _check_relations(recipe: Recipe, esco: EscoRelease) -> None:
    """ESCO publishes its relations in a zip of their own; without it, what they are for would silently do nothing.

    Raises:
        StageError: a stage needs relations that are not there.
    """
    remedy = "Give --esco the zips of classification and relations"
    if any(_uses_links(stage) for stage in recipe.stages) and not (esco.broader or esco.related):
        raise StageError("the recipe uses ESCO's hierarchy or related skills, and these files hold none", remedy)
    if recipe.needs("skill_lists") and not any(one.essential_skills for one in esco.occupations):
        raise StageError("the source 'skill_lists' needs the skills of occupations, and these files hold none", remedy)


def _labels_of(dataset: DatasetRows, esco: EscoRelease | None) -> LabelSpace:
    if esco is not None:
        return label_space_of_esco(esco)
    if dataset.skills:
        labels, uris = zip(*dataset.skills, strict=True)
        return label_space_of_rows(labels, uris, dataset.esco_version)
    rows = dataset.rows
    return label_space_of_rows([row.skill for row in rows], [row.uri for row in rows], dataset.esco_version)
