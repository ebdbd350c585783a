"""A recipe's YAML -> Recipe: one file is one run. An unknown key is an error that names the known ones.

Every default is here and nowhere else, so the record of a run, which holds the whole recipe, is enough to run it again.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dataset_builder.contract import StageError
from dataset_builder.schema import FOLDS
from training.plain_values import fill

SOURCES = {
    "synthetic": "sentences of the dataset that ask for one skill",
    "co_mentions": "sentences of the dataset that ask for several skills, one pair a skill",
    "descriptions": "ESCO description -> preferred label",
    "alternative_labels": "ESCO alternative label -> preferred label",
    "labels": "ESCO preferred label -> itself (two dropout masks)",
    "skillskape": "SkillSkape sentence -> each of its skills",
    "pseudo_labels": "real sentence -> each skill that a teacher found in its parts (training.pseudo_labels)",
    "skill_lists": "lines that list ESCO names of skills of one occupation -> each of these skills",
    "literal_matches": "any sentence -> the skills whose label it holds word for word (distant supervision)",
}
# What a model is ranked by after each loss: the share of the token-level score, plain cosine being the rest. After
# `token_and_cosine` tokens find more in real sentences, cosine in SkillSkape's; 0.7 did best over both on validation.
TOKEN_SHARES = {"token_match": 1.0, "token_and_cosine": 0.7}
LOSSES = ("mnrl", "masked_mnrl", *TOKEN_SHARES)
MASKS = ("same_skill", "joined", "linked", "near")
PRECISIONS = ("auto", "bf16", "fp32")
MOST_SEED = 2**32 - 1  # NumPy takes no larger one
SIDES = ("before", "after", "either")
SCHEDULES = ("linear", "cosine", "constant")
# The library's name of each: AdamW (Loshchilov and Hutter 2019), Adafactor (Shazeer and Stern 2018), plain SGD.
OPTIMIZERS = {"adamw": "adamw_torch_fused", "adafactor": "adafactor", "sgd": "sgd"}
NEGATIVE_KINDS = ("hierarchy", "mined")


@dataclass(frozen=True)
class Source:
    """How much of one source is used.

    `weight` is the share of its pairs used in an epoch (2 takes each twice); `limit` cuts the source once, before
    weighting; `at_least` keeps the skills with that many pairs; `skills` keeps that many skills of the source;
    `per_skill` keeps at most that many pairs a skill; `styles` keeps only these styles of sentence; `round_trip` keeps
    the pairs whose skill is among that many labels nearest to the text by the base model.
    """

    weight: float = 1.0
    limit: int | None = None
    at_least: int | None = None
    skills: int | None = None
    per_skill: int | None = None
    styles: tuple[str, ...] = ()
    round_trip: int | None = None

    def __post_init__(self) -> None:
        _need(self.weight > 0, f"weight must be above 0, got {self.weight}")
        for name in ("limit", "at_least", "skills", "per_skill", "round_trip"):
            value = getattr(self, name)
            _need(value is None or value > 0, f"{name} must be above 0, got {value}")


@dataclass(frozen=True)
class Augmentation:
    """What is done to sentences, anew in every epoch; each value but `join_side` and `join_partners` is a probability.

    `join` puts another random sentence before or after (Decorte et al. 2023, section 3.2); its skills are positives too
    with `joined_labels_are_positives`. `definitions` treats ESCO's descriptions as sentences: they say what is done, as
    an ad's lines do.
    """

    join: float = 0.0
    join_side: str = "either"
    join_partners: int = 1
    joined_labels_are_positives: bool = False
    bullet: float = 0.0
    formatting: float = 0.0
    mask_names: float = 0.0
    split_punctuation: float = 0.0
    lowercase: float = 0.0
    definitions: bool = False

    def __post_init__(self) -> None:
        for name in ("join", "bullet", "formatting", "mask_names", "split_punctuation", "lowercase"):
            value = getattr(self, name)
            _need(0 <= value <= 1, f"{name} is a probability, got {value}")
        _need(self.join_side in SIDES, f"join_side must be one of {', '.join(SIDES)}, got {self.join_side!r}")
        _need(self.join_partners >= 1, f"join_partners must be at least 1, got {self.join_partners}")


@dataclass(frozen=True)
class Loss:
    """Which loss, and its settings. `scale` is 1 / temperature.

    `mnrl` is the library's; `masked_mnrl` is ours, with `mask` naming which false negatives leave the denominator;
    `token_match` is ConTeXT-match's token-level score with the same masks, `token_and_cosine` the sum of the losses by
    that score and by plain cosine. `several_positives` counts every in-batch
    label that the sentence asks for as a positive. `mini_batch` above 0 uses gradient caching. `label_memory` above 0
    makes every label of the label space a negative of every sentence, embedded anew after so many batches.
    """

    name: str = "mnrl"
    scale: float = 20.0
    mask: tuple[str, ...] = ("same_skill", "joined")
    near_threshold: float = 0.9
    several_positives: bool = False
    symmetric: bool = False
    matryoshka: tuple[int, ...] = ()
    mini_batch: int = 0
    label_memory: int = 0

    def __post_init__(self) -> None:
        _need(self.name in LOSSES, f"loss name must be one of {', '.join(LOSSES)}, got {self.name!r}")
        _need(self.scale > 0, f"scale must be above 0, got {self.scale}")
        unknown = [name for name in self.mask if name not in MASKS]
        _need(not unknown, f"mask may name {', '.join(MASKS)}, got {', '.join(unknown)}")
        told = self.name != "mnrl" and "same_skill" in self.mask
        _need(told or not self.several_positives, "several_positives needs one of our losses with same_skill masked")
        _need(self.mini_batch >= 0, f"mini_batch must not be negative, got {self.mini_batch}")
        _need(self.label_memory >= 0, f"label_memory must not be negative, got {self.label_memory}")
        wrong = [size for size in self.matryoshka if size <= 0]
        _need(not wrong, f"matryoshka sizes must be above 0, got {wrong}")
        _need(not self.label_memory or self.name == "masked_mnrl", "label_memory needs masked_mnrl")
        both = self.by_tokens and (self.symmetric or self.matryoshka or self.mini_batch)
        _need(not both, f"{self.name} goes with none of symmetric, matryoshka and mini_batch")

    @property
    def by_tokens(self) -> bool:
        """Whether what is trained ranks by token-level matching."""
        return self.token_share > 0

    @property
    def token_share(self) -> float:
        """Share of the token-level score in what ranks; the rest is the plain cosine."""
        return TOKEN_SHARES.get(self.name, 0.0)


@dataclass(frozen=True)
class Negatives:
    """Hard negatives a pair: `count` labels that are near the right one and wrong."""

    kind: str = "mined"
    count: int = 0
    skip_nearest: int = 0
    pool: int = 50

    def __post_init__(self) -> None:
        _need(self.kind in NEGATIVE_KINDS, f"kind must be one of {', '.join(NEGATIVE_KINDS)}, got {self.kind!r}")
        _need(self.count >= 0, f"count must not be negative, got {self.count}")
        _need(self.skip_nearest >= 0, f"skip_nearest must not be negative, got {self.skip_nearest}")
        _need(self.pool >= 1, f"pool must be at least 1, got {self.pool}")


@dataclass(frozen=True)
class Stage:
    """One pass of the optimizer over some sources."""

    name: str
    sources: dict[str, Source]
    epochs: int = 1
    max_steps: int | None = None
    batch_size: int = 64
    gradient_accumulation: int = 1
    optimizer: str = "adamw"
    learning_rate: float = 2e-5
    weight_decay: float = 0.0
    warmup: float = 0.05
    schedule: str = "linear"
    max_grad_norm: float = 1.0
    pairs_limit: int | None = None
    loss: Loss = field(default_factory=Loss)
    augmentation: Augmentation = field(default_factory=Augmentation)
    negatives: Negatives = field(default_factory=Negatives)

    def __post_init__(self) -> None:
        _need(bool(self.sources), f"stage {self.name!r} needs at least one source: {', '.join(SOURCES)}")
        for name in self.sources:
            _need(name in SOURCES, f"unknown source {name!r} (known: {', '.join(SOURCES)})")
        _need(self.batch_size >= 2, f"batch_size must be at least 2, got {self.batch_size}: the rest are the negatives")
        for name in ("max_steps", "pairs_limit"):
            value = getattr(self, name)
            _need(value is None or value > 0, f"{name} must be above 0, got {value}")
        for name in ("epochs", "gradient_accumulation"):
            _need(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        known = ", ".join(OPTIMIZERS)
        _need(self.optimizer in OPTIMIZERS, f"optimizer must be one of {known}, got {self.optimizer!r}")
        _need(self.learning_rate > 0, f"learning_rate must be above 0, got {self.learning_rate}")
        _need(0 <= self.warmup < 1, f"warmup is a share of the steps, got {self.warmup}")
        _need(self.schedule in SCHEDULES, f"schedule must be one of {', '.join(SCHEDULES)}, got {self.schedule!r}")
        joined = self.augmentation.joined_labels_are_positives
        _need(self.loss.several_positives or not joined, "joined_labels_are_positives needs loss.several_positives")
        # `mnrl` masks nothing, but hard negatives keep to two of the masks; the default mask may be nobody's choice.
        asked = set(self.loss.mask) - ({"linked", "near"} if self.negatives.count else set())
        ignored = self.loss.name == "mnrl" and asked not in (set(), set(Loss.mask))
        _need(not ignored, f"mnrl masks nothing, got mask {', '.join(self.loss.mask)}; masked_mnrl does")


@dataclass(frozen=True)
class Validation:
    """How often RP@5 over the whole label space is measured while training, and on what it selects.

    `times_per_epoch` 0 never measures; `at_start` measures the base model too; `metric` is what
    chooses the best checkpoint: a benchmark's name or `mean`.
    """

    times_per_epoch: int = 1
    at_start: bool = False
    k: int = 5
    metric: str = "mean"

    def __post_init__(self) -> None:
        _need(self.times_per_epoch >= 0, f"times_per_epoch must not be negative, got {self.times_per_epoch}")
        _need(self.k >= 1, f"k must be at least 1, got {self.k}")


@dataclass(frozen=True)
class Recipe:
    """One run: everything but the inputs' places."""

    name: str
    stages: tuple[Stage, ...]
    description: str = ""
    base_model: str | None = None
    max_tokens: int = 64
    precision: str = "auto"
    seed: int = 1
    checkpoints_per_epoch: int = 1
    log_every: int = 10
    chunk_size: int = 16
    held_out_folds: tuple[int, ...] = ()
    validation: Validation = field(default_factory=Validation)

    def __post_init__(self) -> None:
        _need(bool(self.stages), "a recipe needs at least one stage")
        names = [stage.name for stage in self.stages]
        _need(len(set(names)) == len(names), f"stages need different names, got {', '.join(names)}")
        _need(0 <= self.seed <= MOST_SEED, f"seed must be from 0 to {MOST_SEED}, got {self.seed}")
        _need(self.max_tokens >= 8, f"max_tokens must be at least 8, got {self.max_tokens}")
        _need(self.chunk_size >= 0, f"chunk_size must not be negative, got {self.chunk_size}")
        for name in ("log_every", "checkpoints_per_epoch"):
            _need(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        precisions = ", ".join(PRECISIONS)
        _need(self.precision in PRECISIONS, f"precision must be one of {precisions}, got {self.precision!r}")
        wrong = [fold for fold in self.held_out_folds if not 0 <= fold < FOLDS]
        _need(not wrong, f"held_out_folds are numbers from 0 to {FOLDS - 1}, got {wrong}")

    def needs(self, source: str) -> bool:
        """Whether any stage uses `source`."""
        return any(source in stage.sources for stage in self.stages)

    def as_dict(self) -> dict[str, Any]:
        """The whole recipe with every default, ready for JSON or YAML."""
        plain: dict[str, Any] = _listed(dataclasses.asdict(self))
        return plain


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe.

    Args:
        path: a YAML file, such as training/recipes/paper.yaml.

    Raises:
        StageError: no such file, not YAML, an unknown key, or a value that cannot be.
    """
    path = Path(path)
    if not path.is_file():
        known = ", ".join(sorted(str(file) for file in path.parent.glob("*.yaml"))) or "none there"
        raise StageError(f"recipe {path} does not exist", f"Recipes beside it: {known}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StageError(f"recipe {path} is not YAML ({' '.join(str(error).split())})") from None
    return recipe_from_dict(values, str(path))


def recipe_from_dict(values: Any, where: str = "recipe") -> Recipe:
    """Make a recipe from plain values; `where` names them in errors.

    Raises:
        StageError: an unknown key, a missing key, or a value that cannot be.
    """
    recipe: Recipe = fill(Recipe, values, where)
    return recipe


def comparable(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe on file with the defaults of what was added to recipes since; as it is where it is none any more.

    Without its description, and without the masks of what masks nothing: other words make no other recipe.
    """
    try:
        whole = {**recipe_from_dict(recipe).as_dict(), "description": ""}
    except StageError:
        return recipe
    for stage in whole["stages"]:
        if stage["loss"]["name"] == "mnrl" and not stage["negatives"]["count"]:
            stage["loss"]["mask"] = []
    return whole


def _need(condition: bool, problem: str) -> None:
    if not condition:
        raise StageError(problem)


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, list | tuple) else value
