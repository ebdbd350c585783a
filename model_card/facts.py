"""A model folder, its results and its dataset's manifest -> CardFacts: everything the card says, checked.

Facts come from records only. One that is missing, or that contradicts another, stops the card with a message.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from dataset_builder.contract import StageError, sha256_of_file
from dataset_builder.schema import DatasetManifest
from eval.results import BenchmarkResult, EvalResults
from model_card.dataset_rows import sha256_of_rows
from model_card.label_index import EMBEDDINGS_FILE, LabelIndex, check_weights, open_label_index, weight_files
from model_card.prototype_facts import Prototypes, version_with
from model_card.speed import SpeedRecord
from training.export_record import ExportResults
from training.run_record import TrainingRecord

FINDER_FILE = "skill_finder.json"
REQUIRED_METRICS = ("rp@5", "mrr")
# The bootstrap sums in another order than the mean, so where all queries score alike the bounds may miss it by a hair.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class ModelFile:
    """A weight file of the folder."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Calibration:
    """The threshold that says "nothing found", and the data it was chosen on."""

    threshold: float
    calibrated_on: str


@dataclass(frozen=True)
class CardFacts:
    """What the card says. `own` are results of this folder's weights by the score they were trained for.

    `others` are of the systems compared with. `rows_sha256` is the hash of the dataset's training rows, "" where its
    manifest was given without them. `token_share` is that of the token-level score in what ranks; `prototypes` says
    what labels' vectors were made of beside names.
    """

    record: TrainingRecord
    manifest: DatasetManifest
    own: tuple[EvalResults, ...]
    others: tuple[EvalResults, ...]
    weights: tuple[ModelFile, ...]
    dimensions: int
    skills: int
    esco_version: str
    language: str
    calibration: Calibration | None
    speed: SpeedRecord | None
    exports: ExportResults | None = None
    rows_sha256: str = ""
    token_share: float = 0.0
    prototypes: Prototypes | None = None

    @property
    def main(self) -> tuple[EvalResults, ...]:
        """Results for `model-index`: of the weights that training wrote, or of the exports in a copy without them."""
        here = {file.sha256 for file in self.weights}
        wanted = {self.record.weights_sha256} if self.record.weights_sha256 in here else here
        return tuple(one for one in self.own if one.system.weights_sha256 in wanted)

    @property
    def version(self) -> str:
        """The training's, or that of the dataset whose sentences the label index takes in."""
        return version_with(self.prototypes, self.record.version)

    @property
    def trained_on_manifest(self) -> bool:
        """Whether the manifest is of the dataset that the weights were trained on; an index may be of a newer one."""
        return self.record.dataset.version == self.manifest.version

    @property
    def onnx_only(self) -> str:
        """The ONNX file to run where the folder holds no other weights; "" where it does."""
        return "" if any(file.path.endswith(".safetensors") for file in self.weights) else self.weights[0].path


def gather_facts(model_dir: str | Path, result_files: Sequence[str | Path], dataset: str | Path) -> CardFacts:
    """Read all records and hold them against each other.

    Args:
        model_dir: a trained model folder with its label index.
        result_files: results.json files: at least one of this model, the others of systems to compare with. Records
            of another kind, which a glob over results/ finds too, are passed over.
        dataset: the dataset folder (or its manifest.json) that the model was trained on, or whose sentences its label
            index takes in.

    Raises:
        StageError: a fact is missing, or contradicts another.
    """
    folder = Path(model_dir)
    if not folder.is_dir():
        raise StageError(f"{folder} is not a folder", "Give a folder that training wrote")
    record = TrainingRecord.load(folder)
    hashes = weight_files(folder)
    index = open_label_index(folder)
    results = [EvalResults.load(path) for path in result_files if is_evaluation(path)]
    hashes_known = set(index.weights_sha256.values())
    share = record.token_share if index.token_share is None else index.token_share
    index_sha256 = sha256_of_file(folder / EMBEDDINGS_FILE) if index.prototypes else ""
    own = tuple(
        one
        for one in results
        if one.system.weights_sha256 in hashes_known and as_released(one.system.settings, share, index_sha256)
    )
    facts = CardFacts(
        record=record,
        manifest=DatasetManifest.load(dataset),
        own=own,
        others=tuple(one for one in results if one not in own),
        weights=tuple(ModelFile(path, (folder / path).stat().st_size, sha) for path, sha in hashes.items()),
        dimensions=index.embeddings.shape[1],
        skills=len(index.labels),
        esco_version=index.esco_version,
        language=index.esco_language,
        calibration=_read_calibration(folder / FINDER_FILE),
        speed=SpeedRecord.load(folder) if (folder / SpeedRecord.FILE_NAME).exists() else None,
        exports=ExportResults.load(folder) if (folder / ExportResults.FILE_NAME).exists() else None,
        rows_sha256=sha256_of_rows(dataset),
        token_share=share,
        prototypes=index.prototypes,
    )
    check_facts(facts, index, sha256_of_file(folder / TrainingRecord.FILE_NAME))
    return facts


def as_released(settings: Mapping[str, str], token_share: float, index_sha256: str = "") -> bool:
    """Whether results rank by the score and the label vectors that the model goes with.

    Args:
        settings: of the results' system; where they do not say how they rank, it is taken for granted that they do.
        token_share: of the token-level score.
        index_sha256: of the index of prototypes that gives labels their vectors; "" for names.
    """
    share = settings.get("token_share", "0" if settings.get("score") == "cosine" else "")
    of_index = settings.get("label_index_sha256", "")
    return share in ("", f"{token_share:g}") and of_index == index_sha256


def is_evaluation(path: str | Path) -> bool:
    """Whether a file is to be read as EvalResults: not where it is plainly a record of another kind."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True  # loading it says what is wrong
    return isinstance(values, dict) and {"system", "benchmarks"} <= values.keys()


def check_facts(facts: CardFacts, index: LabelIndex, training_record_sha256: str) -> None:
    """Hold the facts against each other.

    Raises:
        StageError: the first contradiction or gap, with both values and where they stand.
    """
    record = facts.record
    check_weights(index, {file.path: file.sha256 for file in facts.weights})
    if record.weights_sha256 not in index.weights_sha256.values():
        raise StageError(
            f"training_record.json is of the weights {record.weights_sha256[:12]}, which are not in the folder",
            "Train again, or put back the weights that belong to the record",
        )
    if not facts.main:
        raise StageError(
            f"no results file is of this model's weights {(facts.onnx_only or record.weights_sha256[:12])} and of the "
            + ("prototypes in its label index" if facts.prototypes else "score that it was trained for"),
            "Run `python -m eval.score_model` on this folder, with --backend onnx for an ONNX file, and give its file",
        )
    _check_dataset(facts)
    for results in facts.main:
        _same("training record's hash", training_record_sha256, results.system.training_record_sha256, results)
        _same("model version", record.version, results.system.model_version, results)
        _same("dataset", record.dataset.id, results.system.dataset, results)
        _same("dataset version", record.dataset.version, results.system.dataset_version, results)
    _check_results(facts, index)
    known = set(index.weights_sha256.values())
    if facts.speed and not set(facts.speed.weights_sha256.values()) <= known:
        raise StageError("speed.json was measured with other weights", "Run `python -m model_card.speed` again")
    # A static form has a folder and an index of its own.
    if facts.exports and not {form.sha256 for form in facts.exports.forms if form.form != "static"} <= known:
        raise StageError("exports.json was measured with other weights", "Run `python -m training.export` again")


def _check_dataset(facts: CardFacts) -> None:
    trained, manifest, of_index = facts.record.dataset, facts.manifest, facts.prototypes
    what, version, rows = "the model was trained", trained.version, trained.sha256
    remedy = "Give the dataset that the training record names"
    if of_index:
        what, version, rows = "the label index was made", of_index.dataset_version, of_index.rows_sha256
        remedy = "Give the dataset whose sentences `model_card.prototypes` took"
    if version != manifest.version:
        raise StageError(f"{what} on dataset version {version}, and the manifest is of {manifest.version}", remedy)
    if rows and facts.rows_sha256 and rows != facts.rows_sha256:
        raise StageError(
            f"{what} on other rows ({rows[:12]}) than this dataset of version "
            f"{manifest.version} has ({facts.rows_sha256[:12]})",
            remedy,
        )
    if trained.revision and trained.revision.removeprefix("v") != trained.version and len(trained.revision) != 40:
        raise StageError(
            f"training_record.json: dataset revision {trained.revision!r} is not version {trained.version!r}"
        )


def _check_results(facts: CardFacts, index: LabelIndex) -> None:
    first = facts.main[0]
    data: dict[tuple[str, str], tuple[str, int, int]] = {}
    rows: set[tuple[str, str, str]] = set()
    for results in (*facts.own, *facts.others):
        name = results.system.name
        if results.label_space.sha256 != index.labels_sha256:
            raise StageError(
                f"results of {name} rank other labels ({results.label_space.source}) than the label index holds",
                "Evaluate every system on the release that the index is made of",
            )
        if results.tie_order != first.tie_order:
            raise StageError(f"results of {name} break ties by {results.tie_order!r}, others by {first.tie_order!r}")
        samples, seed = results.bootstrap_samples, results.bootstrap_seed
        if (samples, seed) != (first.bootstrap_samples, first.bootstrap_seed):
            raise StageError(
                f"results of {name} have intervals from {samples:,} samples, seed {seed}, and others from "
                f"{first.bootstrap_samples:,}, seed {first.bootstrap_seed}",
                "Evaluate every system with the same --samples",
            )
        for benchmark in results.benchmarks:
            place = (benchmark.name, benchmark.split)
            if data.setdefault(place, benchmark.asked) != benchmark.asked:
                raise StageError(f"results of {name} are of another {benchmark.name} {benchmark.split} file or queries")
            if (name, *place) in rows:
                raise StageError(f"two results files hold {name} on {benchmark.name} {benchmark.split}", "Give one")
            rows.add((name, *place))
            _check_metrics(name, benchmark, required=results in facts.own)
    if first.label_space.version != facts.esco_version:
        raise StageError(
            f"results are over ESCO {first.label_space.version}, the label index is of {facts.esco_version}"
        )


def _check_metrics(system: str, benchmark: BenchmarkResult, required: bool) -> None:
    for metric in REQUIRED_METRICS if required else ():
        if metric not in benchmark.metrics:
            raise StageError(f"results of {system} on {benchmark.name} lack {metric}", "Evaluate again")
    for metric, estimate in benchmark.metrics.items():
        in_order = (0, estimate.low, estimate.value, estimate.high, 1)
        if not all(below <= above + _ROUNDING for below, above in pairwise(in_order)):
            raise StageError(
                f"results of {system} on {benchmark.name}: {metric} {estimate.value} with interval "
                f"[{estimate.low}, {estimate.high}] cannot be"
            )


def _same(what: str, wanted: str, found: str | None, results: EvalResults) -> None:
    where = f"the results of {results.system.name}"
    if found is None:
        raise StageError(f"{where} lack the {what}", "Evaluate the model's folder, with its training_record.json")
    if found != wanted:
        raise StageError(
            f"{what} contradicts: {wanted} in training_record.json, {found} in {where}", "Evaluate the model again"
        )


def _read_calibration(path: Path) -> Calibration | None:
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Calibration(float(values["threshold"]), str(values["calibrated_on"]))
    except (ValueError, KeyError, TypeError) as error:
        raise StageError(f"{path} is no calibration ({error!r})", "Calibrate the threshold again") from None
