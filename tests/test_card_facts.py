"""model_card.facts: a fact that is missing, or that contradicts another, stops the card with a message."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_builder.contract import StageError, sha256_of_file
from eval.results import Estimate, EvalResults
from model_card.dataset_rows import sha256_of_rows
from model_card.facts import gather_facts
from model_card.forms import markdown_table
from model_card.label_index import open_label_index
from tests.card_folders import retrain
from tests.card_records import OWN_BENCHMARKS, benchmark_result, estimate, manifest, own_results
from training.dataset_rows import read_dataset
from training.export_record import ExportedForm, ExportResults
from training.run_record import TrainingRecord


def facts_of(root: Path):
    return gather_facts(root / "model", [root / "own.json", root / "other.json"], root / "data")


def test_what_agrees_passes(made):
    facts = facts_of(made)
    assert [one.system.name for one in facts.main] == ["tiny"]
    assert [one.system.name for one in facts.others] == ["stock encoder"]
    assert (facts.skills, facts.dimensions, facts.esco_version, facts.language) == (3, 32, "1.1.0", "en")


@pytest.mark.parametrize(("value", "low", "high"), [(0.7, 0.7 + 1e-16, 0.7 + 1e-16), (1.0, 1.0, 1.0 + 1e-15)])
def test_bounds_that_miss_the_mean_by_rounding_pass(work, value, low, high):
    """All queries score alike, and the bootstrap's sums end one bit higher or lower than the mean's."""
    alike = Estimate(value=value, low=low, high=high)
    benchmarks(work, [benchmark_result("tech", {"rp@5": alike, "mrr": estimate(0.5)})])
    assert facts_of(work).main[0].benchmarks[0].metrics["rp@5"] == alike


def forms(sha256: str) -> ExportResults:
    form = ExportedForm(
        form="onnx", file="model.onnx", bytes=1, sha256=sha256, texts_per_s=1.0, mean_cosine=1.0, rp_at_5={}
    )
    return ExportResults(schema_version=1, model="m", code_version="", processor="", cpu_cores=1, forms=[form])


def test_forms_of_these_weights_pass(work):
    forms(sha256_of_file(work / "model" / "model.safetensors")).save(work / "model")
    assert facts_of(work).exports is not None


BY_COSINE = {"score": "cosine"}
BY_TOKENS = {"score": "token-matching", "token_share": "1"}


@pytest.mark.parametrize(
    ("loss", "settings", "own"),
    [
        ("token_match", BY_COSINE, False),
        ("token_match", BY_TOKENS, True),
        ("token_match", {"score": "token-matching"}, True),
        ("mnrl", BY_COSINE, True),
        ("mnrl", BY_TOKENS, False),
    ],
)
def test_results_by_another_score_than_the_trained_one_are_of_another_system(work, loss, settings, own):
    """The same weights by plain cosine stand in the comparison, and the card's own numbers are not theirs."""
    retrain(work, recipe={"stages": [{"loss": {"name": loss}}]})
    own_results(work / "model").save(work / "own.json")
    again = own_results(work / "model", settings=settings)
    system = again.system.model_copy(update={"name": "same weights"})
    again.model_copy(update={"system": system}).save(work / "other.json")
    facts = facts_of(work)
    assert [one.system.name for one in facts.main] == ["tiny", "same weights"][: 1 + own]
    assert [one.system.name for one in facts.others] == ["same weights"][own:]
    (work / "other.json").rename(work / "own.json")
    main_alone = [work / "own.json"]
    if own:
        assert gather_facts(work / "model", main_alone, work / "data").others == ()
    else:
        with pytest.raises(StageError, match=r"no results file is of .* and of the score that it was trained for"):
            gather_facts(work / "model", main_alone, work / "data")


BREAKS = {
    "forms of other weights": (
        lambda w: forms("0" * 64).save(w / "model"),
        r"exports\.json was measured with other weights",
    ),
    "no own results": (lambda w: (w / "own.json").write_text((w / "other.json").read_text()), "no results file is of"),
    "other training record": (
        lambda w: own_results(w / "model", training_record_sha256="0" * 64).save(w / "own.json"),
        "training record's hash contradicts",
    ),
    "other dataset version": (
        lambda w: own_results(w / "model", dataset_version="0.9.0").save(w / "own.json"),
        r"dataset version contradicts: 1\.0\.0 in training_record\.json, 0\.9\.0 in the results of tiny",
    ),
    "no dataset version": (
        lambda w: own_results(w / "model", dataset_version=None).save(w / "own.json"),
        "the results of tiny lack the dataset version",
    ),
    "other model version": (
        lambda w: own_results(w / "model", model_version="2.0.0").save(w / "own.json"),
        "model version contradicts",
    ),
    "other dataset": (lambda w: own_results(w / "model", dataset="x").save(w / "own.json"), "dataset contradicts"),
    "other manifest": (
        lambda w: manifest([], version="1.1.0").save(w / "data"),
        r"trained on dataset version 1\.0\.0, and the manifest is of 1\.1\.0",
    ),
    "other rows of the same version": (
        lambda w: retrain(w, dataset=TrainingRecord.load(w / "model").dataset.model_copy(update={"sha256": "e" * 64})),
        r"trained on other rows \(eeeeeeeeeeee\) than this dataset of version 1\.0\.0 has",
    ),
    "rows that cannot be read": (
        lambda w: (w / "data/pairs/train.parquet").write_bytes(b"x"), r"train\.parquet cannot be read",
    ),
    "no manifest": (lambda w: (w / "data/manifest.json").unlink(), r"manifest\.json does not exist"),
    "no training record": (lambda w: (w / "model/training_record.json").unlink(), "training_record.json does not"),
    "other weights": (
        lambda w: (w / "model/model.safetensors").write_bytes(b"x"), r"other weights than model\.safetensors",
    ),
    "a record of other weights": (lambda w: retrain(w, weights_sha256="0" * 64), "which are not in the folder"),
    "an export the index does not know": (
        lambda w: (w / "model/model.onnx").write_bytes(b"x"), "label index was made for other weights",
    ),
    "other labels": (lambda w: change_results(w, label_space={"sha256": "0" * 64}), "rank other labels"),
    "other ESCO": (lambda w: change_results(w, label_space={"version": "1.2.0"}), r"over ESCO 1\.2\.0"),
    "other ties": (lambda w: change_results(w, file="other.json", tie_order="random"), "break ties by 'random'"),
    "intervals of other samples": (
        lambda w: change_results(w, file="other.json", bootstrap_samples=20),
        "intervals from 20 samples, seed 5, and others from 2,000, seed 5",
    ),
    "twice": (lambda w: (w / "other.json").write_text((w / "own.json").read_text()), "two results files hold tiny"),
    "a metric is missing": (
        lambda w: benchmarks(w, [benchmark_result("tech", {"rp@5": estimate(0.5)})]), "on tech lack mrr",
    ),
    "other benchmark file": (
        lambda w: benchmarks(w, [OWN_BENCHMARKS[0].model_copy(update={"data_sha256": "0" * 64})]),
        "of another tech test file",
    ),
    "beyond one": (
        lambda w: benchmarks(w, [benchmark_result("tech", {"rp@5": estimate(0.99), "mrr": estimate(0.5)})]),
        "cannot be",
    ),
    "bad calibration": (lambda w: (w / "model/skill_finder.json").write_text("{}"), "is no calibration"),
    "odd revision": (
        lambda w: retrain(w, dataset=TrainingRecord.load(w / "model").dataset.model_copy(update={"revision": "v7"})),
        "dataset revision 'v7' is not version",
    ),
}  # fmt: skip


def change_results(root: Path, file: str = "own.json", label_space: dict | None = None, **changes: object) -> None:
    results = EvalResults.load(root / file)
    space = results.label_space.model_copy(update=label_space or {})
    results.model_copy(update={"label_space": space, **changes}).save(root / file)


def benchmarks(root: Path, found: list) -> None:
    own_results(root / "model").model_copy(update={"benchmarks": found}).save(root / "own.json")


@pytest.mark.parametrize("name", BREAKS)
def test_a_missing_or_contradicting_fact_stops_the_card(work, name):
    spoil, message = BREAKS[name]
    spoil(work)
    with pytest.raises(StageError, match=message):
        facts_of(work)


def test_the_manifest_alone_holds_no_rows_to_compare(made):
    files = [made / "own.json", made / "other.json"]
    assert gather_facts(made / "model", files, made / "data/manifest.json").rows_sha256 == ""


def test_the_released_model_was_made_of_the_rows_of_the_released_datasets(repo):
    """Its weights of one version, its label index of the newest."""
    record = TrainingRecord.load(repo / "model_card/releases/v4.1.0")
    prototypes = open_label_index(repo / "model_card/releases/v4.1.0").prototypes
    of_version = {name: sha256_of_rows(repo / f"dataset_builder/releases/v{name}") for name in ("2.0.0", "4.1.0")}
    assert of_version[record.dataset.version] == record.dataset.sha256
    assert of_version[prototypes.dataset_version] == prototypes.rows_sha256
    assert record.dataset.sha256 != prototypes.rows_sha256


def test_rows_are_hashed_as_training_hashes_them(tmp_path):
    """Spaces and rows without a label count as in training."""
    (tmp_path / "pairs").mkdir()
    rows = {"sentence": ["You  bake.", " You weld. ", "Nobody"], "skill": ["bake bread ", "weld", " "]}
    pq.write_table(pa.table(rows), tmp_path / "pairs/train.parquet")
    assert sha256_of_rows(tmp_path) == read_dataset(str(tmp_path / "pairs/train.parquet")).sha256


def test_records_of_another_kind_are_passed_over_and_broken_ones_are_not(work):
    """A glob over results/ finds the figures of the builder as well; half a file is an error."""
    (work / "builder.json").write_text('{"schema_version": 1, "rate": 3}')
    files = [work / name for name in ("own.json", "builder.json", "other.json")]
    facts = gather_facts(work / "model", files, work / "data")
    assert [one.system.name for one in (*facts.own, *facts.others)] == ["tiny", "stock encoder"]
    (work / "builder.json").write_text('{"system": ')
    with pytest.raises(StageError, match="is not JSON"):
        gather_facts(work / "model", files, work / "data")


def test_a_folder_that_is_no_model(tmp_path, made):
    with pytest.raises(StageError, match="is not a folder"):
        gather_facts(tmp_path / "nothing", [], made / "data")


def test_a_bar_in_a_cell_does_not_end_it():
    table = markdown_table(["system", "RP@5 | 1"], [["a|b", "50.00"]])
    assert table == "| system | RP@5 \\| 1 |\n| --- | ---: |\n| a\\|b | 50.00 |"
