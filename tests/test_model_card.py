"""The model card: every number from records worked by hand, every contradiction refused, its snippet run."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from dataset_builder.contract import StageError, run_command
from dataset_builder.schema import DatasetManifest
from eval.results import EvalResults
from model_card.build import main
from model_card.facts import Calibration, ModelFile, gather_facts
from model_card.render import render_card
from model_card.speed import BackendSpeed, SpeedRecord
from tests.card_records import (
    OTHER_RESULTS,
    OWN_BENCHMARKS,
    VERSION,
    benchmark_result,
    estimate,
    eval_results,
    manifest,
    own_results,
    training_record,
    write_dataset,
    write_esco,
    write_trained_model,
)
from training.run_record import TrainingRecord


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A trained folder with results and dataset, after `model_card.build`."""
    root = tmp_path_factory.mktemp("made")
    model = write_trained_model(root / "model")
    own_results(model).save(root / "own.json")
    OTHER_RESULTS.save(root / "other.json")
    write_dataset(root / "data")
    write_esco(root / "v1.1.0")
    main(command(root))
    return root


@pytest.fixture
def work(made, tmp_path):
    """A copy of the made folder to break."""
    return shutil.copytree(made, tmp_path / "work")


def command(root: Path) -> list[str]:
    files = [str(root / name) for name in ("own.json", "other.json")]
    data, esco = str(root / "data"), str(root / "v1.1.0")
    return [str(root / "model"), "--results", *files, "--dataset", data, "--esco", esco]


def facts_of(root: Path):
    return gather_facts(root / "model", [root / "own.json", root / "other.json"], root / "data")


@pytest.fixture
def facts(made):
    """Facts with a calibration, a measured speed and weights of known size."""
    weights = (ModelFile("model.safetensors", 3 * 2**19, "e" * 64), ModelFile("onnx/model.onnx", 2**20, "f" * 64))
    speed = SpeedRecord(
        schema_version=1, created_at="", code_version="", device="Test CPU", cpu_cores=4, sentences=1111,
        words_per_sentence=14.2, open_and_rank_s=0.714, weights_sha256={}, libraries={},
        backends=[BackendSpeed(backend="onnx", weights_file="onnx/model.onnx", sentences_per_s=1234.4, batch_size=32)],
    )  # fmt: skip
    found = facts_of(made)
    record = training_record("e" * 64)
    own = eval_results("tiny", "e" * 64, OWN_BENCHMARKS)
    return replace(
        found, record=record, own=(own,), weights=weights, speed=speed, calibration=Calibration(0.4567, "TECH train")
    )


def lines_with_digits(text: str) -> list[str]:
    return [line for line in text.splitlines() if re.search(r"\d", line)]


def test_every_number_of_the_text_is_worked_by_hand(facts):
    """0.56164 -> 56.16, its interval 0.51164 to 0.61164 -> 51.2 to 61.2; 93 s -> 1.6 min (1.55 rounds up);
    3 x 2^29 bytes -> 1.5 GiB; 3 x 2^19 bytes -> 1.5 MiB. No other line of the text holds a digit."""
    card = render_card(facts)
    body = card.split("---\n", 2)[2].split("```bibtex")[0]
    assert lines_with_digits(body.replace(snippet_of(card), "")) == [
        "# ESCO skill bi-encoder 1.0.0",
        "32 dimensions, trained from `org/base-encoder` on sentences that an LLM wrote for ESCO skills, after",
        "[Decorte et al.](https://arxiv.org/abs/2307.10778). The 3 skill names of ESCO 1.1.0 (`en`) come",
        "A local folder in place of the name works the same. The label index belongs to these weights: it holds "
        "their SHA-256",
        '(`safe_open(...).metadata()["weights_sha256"]`), and other weights must not be ranked against it.',
        "The threshold 0.457 was chosen on TECH train; a sentence whose best score lies below it asks for no skill.",
        "R-Precision@k (RP@k) and mean reciprocal rank (MRR), times 100, ranking all 3 labels by cosine; ties by",
        "label-space order. In brackets the 95% bootstrap interval over queries (2,000 samples, seed 5).",
        "| system | TECH RP@5 | TECH MRR | HOUSE RP@5 | HOUSE MRR |",
        "| stock encoder | 45.57 [40.6, 50.6] | 44.09 [39.1, 49.1] | 33.85 [30.9, 36.9] | - |",
        "| **tiny** | 56.16 [51.2, 61.2] | 51.20 [46.2, 56.2] | 45.11 [42.1, 48.1] | 40.26 [38.3, 42.3] |",
        "| benchmark | queries | RP@1 | RP@5 | MRR |",
        "| TECH test | 338 | 43.21 [38.2, 48.2] | 56.16 [51.2, 61.2] | 51.20 [46.2, 56.2] |",
        "| HOUSE test | 262 | - | 45.11 [42.1, 48.1] | 40.26 [38.3, 42.3] |",
        "| dataset | `NAMESPACE/synthetic-esco-skill-sentences` at `v1.0.0` |",
        "| sentences | 4,321 kept of 5,678 written by `writer-llm` |",
        "| base model | `org/base-encoder` at `refs1`, weights `bbbbbbbbbbbb` |",
        "| recipe | `paper`, seed 17 |",
        "| steps | 1,012 (1.5 epochs), best at step 800 |",
        "| loss | 2.346 at first, 0.987 at last |",
        "| code | `v1.0.0-3-gabcdef0` |",
        "| synthetic | 1,200 | 3 |",
        "| descriptions | 45 | 2 |",
        "learning_rate: 2.0e-05",
        "batch_size: 25",
        "scale: 20.0",
        "| weights | size | SHA-256 |",
        "| `model.safetensors` | 1.5 MiB | `eeeeeeeeeeee` |",
        "| `onnx/model.onnx` | 1.0 MiB | `ffffffffffff` |",
        "| onnx | `onnx/model.onnx` | 32 | 1,234 |",
        "Measured on Test CPU with 4 cores over 1,111 sentences of 14.2 words. Opening model and label index and "
        "ranking one sentence took 0.71 s beyond importing the libraries.",
        "2 processes on Test CPU, 8 CPU cores, 1.5 GiB at the peak; 1.6 minutes, 36.7 pairs a second.",
        "Energy: 0.004 kWh (RAPL counters of the package).",
        "Libraries: torch 2.13.0, sentence-transformers 6.2.0.",
        "Weights: apache-2.0. The label index holds ESCO 1.1.0 labels, © European Union, reused under CC BY 4.0:",
    ]
    assert "which count as missed: `fly kites`" in body


def test_front_matter_is_what_the_hub_reads(facts):
    data = ModelCard(render_card(facts)).data
    found = {
        (r.dataset_type, r.dataset_name, r.dataset_split, r.metric_type): r.metric_value for r in data.eval_results
    }
    tech, house = "TechWolf/skill-extraction-tech", "TechWolf/skill-extraction-house"
    assert found == {
        (tech, "TECH", "test", "rp_at_1"): 43.21,
        (tech, "TECH", "test", "rp_at_5"): 56.16,
        (tech, "TECH", "test", "mrr"): 51.2,
        (house, "HOUSE", "test", "rp_at_5"): 45.11,
        (house, "HOUSE", "test", "mrr"): 40.26,
    }
    assert data.model_name == "tiny"
    assert data.base_model == "org/base-encoder"
    assert data.datasets == ["NAMESPACE/synthetic-esco-skill-sentences"]
    assert (data.library_name, data.pipeline_tag, data.license) == (
        "sentence-transformers", "sentence-similarity", "apache-2.0",
    )  # fmt: skip
    assert data.language == ["en"]


def test_a_folder_is_no_base_model_of_the_hub(facts):
    base = facts.record.base_model.model_copy(update={"id": "minilm"})
    local = replace(facts, record=facts.record.model_copy(update={"base_model": base}))
    assert "base_model" not in yaml.safe_load(render_card(local).split("---\n")[1])
    assert "| base model | `minilm` at" in render_card(local)


def test_a_dataset_trained_from_the_hub_keeps_its_name_and_tag(facts):
    dataset = facts.record.dataset.model_copy(update={"id": "someone/their-set", "revision": "v1.0.0"})
    card = render_card(replace(facts, record=facts.record.model_copy(update={"dataset": dataset})))
    assert "| dataset | `someone/their-set` at `v1.0.0` |" in card


def test_what_was_not_measured_is_said(facts):
    record = facts.record.model_copy(update={"energy_kwh": None})
    card = render_card(replace(facts, record=record, speed=None, calibration=None))
    assert "Energy was not measured." in card
    assert "Speed was not measured for this version." in card
    assert "No threshold was calibrated for this version" in card


def snippet_of(card: str) -> str:
    return re.search(r"```python\n(.*?)\n```", card, re.DOTALL)[1]


def test_the_cards_snippet_runs_with_a_threshold_and_without(work):
    """The tiny model's scores are cosines, so a threshold of 1.1 leaves nothing and none leaves all three labels."""
    plain = (work / "model/README.md").read_text(encoding="utf-8")
    (work / "model/skill_finder.json").write_text(json.dumps({"format": 1, "threshold": 1.1, "calibrated_on": "x"}))
    calibrated = render_card(facts_of(work))
    for card, expected in ((plain, 3), (calibrated, 0)):
        code = snippet_of(card).replace("NAMESPACE/esco-skill-biencoder", str(work / "model"))
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        lines = done.stdout.splitlines()
        assert len(lines) == expected
        assert {line.split("  ")[1] for line in lines} <= {"bake bread", "weld pipes", "Python"}


def test_it_replaces_the_card_of_the_library_and_keeps_the_index(made, capsys):
    first = (made / "model/label_index/label_embeddings.safetensors").stat().st_mtime_ns
    main(command(made))
    assert "2 runs, label index of 3 skills" in capsys.readouterr().out
    assert (made / "model/label_index/label_embeddings.safetensors").stat().st_mtime_ns == first
    assert (made / "model/README.md").read_text(encoding="utf-8").count("ESCO skill bi-encoder") == 1


BREAKS = {
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


def retrain(root: Path, **changes: object) -> None:
    TrainingRecord.load(root / "model").model_copy(update=changes).save(root / "model")


@pytest.mark.parametrize("name", BREAKS)
def test_a_missing_or_contradicting_fact_stops_the_card(work, name):
    spoil, message = BREAKS[name]
    spoil(work)
    with pytest.raises(StageError, match=message):
        facts_of(work)


def test_a_stopped_card_leaves_the_old_one_and_says_one_line(work, capsys):
    before = (work / "model/README.md").read_bytes()
    own_results(work / "model", dataset_version="0.9.0").save(work / "own.json")
    assert run_command(main, command(work)) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: dataset version contradicts")
    assert "\n" not in error
    assert (work / "model/README.md").read_bytes() == before


def test_a_folder_that_is_no_model(tmp_path, made):
    with pytest.raises(StageError, match="is not a folder"):
        gather_facts(tmp_path / "nothing", [], made / "data")


def test_records_are_of_one_version(made):
    assert TrainingRecord.load(made / "model").version == DatasetManifest.load(made / "data").version == VERSION
