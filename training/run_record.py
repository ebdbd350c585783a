"""The model folder's contract: TrainingRecord <-> training_record.json, written after the weights."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from dataset_builder.contract import Record, Strict
from training.recipe import TOKEN_SHARES


class ModelSource(Strict):
    """The base model: Hub id or folder name, its revision where it has one, and the hash of its weights."""

    id: str
    revision: str | None
    weights_sha256: str


class DatasetSource(Strict):
    """The dataset trained on: Hub id or folder name, revision, the manifest's version and the hash of the pairs."""

    id: str
    revision: str | None
    version: str
    sha256: str


class SourceCount(Strict):
    """One source of training pairs as the recipe mixed it."""

    name: str
    pairs: int = Field(ge=0)
    skills: int = Field(ge=0)


class LossPoint(Strict):
    """Training loss at an optimiser step, as the trainer logged it (mean since the point before)."""

    step: int
    loss: float


class ValidationPoint(Strict):
    """Validation metrics at an optimiser step, in [0, 1], by benchmark name."""

    step: int
    metrics: dict[str, float]


class Hardware(Strict):
    """What the run had: processes, device name, CPU cores used, peak memory."""

    processes: int
    device: str
    cpu_cores: int
    peak_memory_bytes: int


class AveragedRun(Strict):
    """One of the runs whose weights were averaged; `validation` in [0, 1], measured beside the mean's."""

    seed: int
    code_version: str
    inputs_sha256: str | None
    steps: int
    last_loss: float | None
    validation: dict[str, float]
    weights_sha256: str


class TrainingRecord(Record):
    """Everything needed to know how a model was trained and to train it again.

    `inputs_sha256` is of every pair trained on, whatever its source, and of every sentence that chose the checkpoint;
    None in records from before it was kept, as is `precision`, what the recipe's came to on the machine. Where the runs
    of several seeds were `averaged`, steps, time and energy are of all, `seed` and `inputs_sha256` of the first.
    `sources_sha256` is of the files of sentences by flag (skillskape, pseudo_labels, sentences), `teacher` the model
    that labelled the pseudo-labels where the file beside them says so: to look up where pairs came from, and no part of
    what tells two runs apart.
    """

    FILE_NAME: ClassVar[str] = "training_record.json"
    SCHEMA_VERSION: ClassVar[int] = 1

    name: str
    version: str
    created_at: str
    code_version: str
    command: str
    recipe_name: str
    recipe: dict[str, Any]
    seed: int
    averaged: tuple[AveragedRun, ...] = ()
    base_model: ModelSource
    dataset: DatasetSource
    sources: list[SourceCount]
    label_space_version: str
    label_space_sha256: str
    inputs_sha256: str | None = None
    sources_sha256: dict[str, str] = Field(default_factory=dict)
    teacher: ModelSource | None = None
    precision: str | None = None
    steps: int
    epochs: float
    pairs_per_s: float
    duration_s: float
    energy_kwh: float | None
    energy_method: str
    hardware: Hardware
    libraries: dict[str, str]
    losses: list[LossPoint]
    validation: list[ValidationPoint]
    best_step: int
    weights_sha256: str

    @property
    def by_tokens(self) -> bool:
        """Whether the last stage trained ConTeXT-match's token-level score, which the model is then ranked by."""
        return self.token_share > 0

    @property
    def token_share(self) -> float:
        """Share of the token-level score in what the model is ranked by; the rest is the plain cosine."""
        return TOKEN_SHARES.get(self._last_loss, 0.0)

    @property
    def trained_by_cosine(self) -> bool:
        """Whether the last stage trained the plain cosine, alone or beside the token-level score."""
        return self._last_loss != "token_match"

    @property
    def _last_loss(self) -> str:
        stages: list[dict[str, Any]] = self.recipe.get("stages", [])
        return str((stages[-1].get("loss") or {}).get("name", "")) if stages else ""
