"""The command eval.score_model from end to end on a tiny model, lexical systems, fusion and one's own system."""

import json
import sys
from types import ModuleType

import numpy as np
import pytest

from dataset_builder.contract import run_command, sha256_of_file, without_folders
from eval import score_model
from eval.per_query import read_per_query
from eval.results import EvalResults
from tests.eval_records import URI, write_benchmarks, write_esco, write_model


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("score")
    write_esco(root / "esco-1.1.0")
    write_benchmarks(root / "benchmarks")
    write_model(root / "model")
    return root


def run(place, system, *more, split="test", benchmarks=None):
    out = place / "results" / "run.json"
    command = [
        str(system),
        "--benchmarks",
        str(benchmarks or place / "benchmarks"),
        "--esco",
        str(place / "esco-1.1.0"),
    ]
    code = run_command(score_model.main, [*command, "--split", split, "--out", str(out), "--samples", "200", *more])
    return EvalResults.load(out) if code == 0 else code


def test_a_model_is_scored_on_all_benchmarks_of_the_folder(place, capsys):
    record = run(place, place / "model", "--name", "tiny")
    printed = capsys.readouterr().out
    assert printed.startswith("tiny on test: 5 skill names of ESCO 1.1.0")
    assert [line.split()[0] for line in printed.splitlines()[3:5]] == ["TECH", "HOUSE"]
    assert [(b.name, b.queries, b.gold_labels, b.rows, b.dropped_rows) for b in record.benchmarks] == [
        ("TECH", 3, 4, 5, 1),
        ("HOUSE", 1, 1, 1, 0),
    ]
    assert record.system.kind == "sentence-transformer"
    assert record.system.weights_sha256 == sha256_of_file(place / "model" / "model.safetensors")
    assert record.label_space.size == 5
    assert record.label_space.source == "esco-1.1.0"
    assert str(place) not in record.command
    assert record.versions["numpy"] == np.__version__
    thresholds = record.benchmarks[0].thresholds
    assert (thresholds.sentences_with_skill, thresholds.sentences_without_skill) == (3, 1)
    assert record.benchmarks[1].thresholds.auroc is None


def test_literal_match_by_hand(place):
    """TECH: 'bake bread' and 'Python' stand in their sentences, rank 1; 'Lead people' matches nothing, so all scores
    tie and labels rank in file order: bake bread 1, manage staff 2, write reports 3. RP@5 = (1 + 1 + 2/2) / 3 = 1,
    RP@1 = (1 + 0 + 1) / 3, MRR = (1 + 1/2 + 1) / 3.
    """
    record = run(place, "literal")
    tech = record.benchmarks[0]
    assert tech.gold_ranks == ["1", "2 3", "1"]
    values = {name: estimate.value for name, estimate in tech.metrics.items()}
    assert (values["rp@5"], values["rp@1"], values["mrr"]) == pytest.approx((1, 2 / 3, 2.5 / 3))
    assert {value: found.queries for value, found in tech.slices["mention"].items()} == {"implicit": 1, "literal": 2}
    # Suggestions above a threshold of 1 word: two right ones of two; four gold labels: precision 1, recall 1/2.
    assert (tech.thresholds.best.precision, tech.thresholds.best.recall) == (1, 0.5)
    assert (tech.thresholds.best.rejected, tech.thresholds.auroc) == (1.0, pytest.approx(5 / 6))


def test_validation_leaves_out_what_test_holds_and_says_so(place, capsys):
    record = run(place, "literal", split="validation")
    assert [(b.name, b.queries, b.left_out) for b in record.benchmarks] == [("TECH", 1, 1)]
    assert "TECH: left out because the test split holds them: 1 queries" in capsys.readouterr().out


def test_a_single_csv_and_gold_that_the_label_space_lacks(place, capsys):
    """Gold of the query is Python (rank 1) and an unknown label: RP@5 = 1 / min(5, 2)."""
    file = place / "mini.csv"
    file.write_text("sentence,label\nUse Python,Python\nUse Python,fly planes\n", encoding="utf-8")
    record = run(place, "literal", benchmarks=file)
    (found,) = record.benchmarks
    assert (found.name, found.gold_missing, found.gold_ranks) == ("MINI", ["fly planes"], ["1 -"])
    assert found.metrics["rp@5"].value == 0.5
    assert (
        "MINI: gold labels that the label space lacks (1, 1 of 2 mentions), counted as not found: fly planes"
        in capsys.readouterr().out
    )


def test_details_show_every_slice_thresholds_and_calibration(place, capsys):
    """TECH: "* We bake bread" (literal, one skill), "Lead people" (implicit, two skills), "Use Python daily" (literal,
    knowledge). "make loaves" and "lead a team" are the other names; fold 0 is held out.
    """
    record = run(place, "literal", "--details", "--held-out-folds", "0", "--threshold", "2")
    slices = {
        kind: {value: one.queries for value, one in found.items()}
        for kind, found in record.benchmarks[0].slices.items()
    }
    training = slices.pop("training")
    assert slices == {
        "form": {"bullet": 1, "no bullet": 2},
        "mention": {"implicit": 1, "literal": 2},
        "gold skills": {"1": 2, "2": 1},
        "length": {"1-7 words": 3},
        "skill type": {"competence": 2, "knowledge": 1},
    }
    assert sum(training.values()) == 3
    assert set(training) <= {"seen", "unseen", "mixed"}
    printed = capsys.readouterr().out
    for kind in (*slices, "training"):
        assert f"\n{kind} " in printed
    rows = {line.split("  ")[0]: line.split() for line in printed.splitlines()}
    # Two words match "bake bread": one suggestion is kept, and it is right. Of four gold labels one is found: F1 0.4.
    assert rows["TECH, as given"][3:8] == ["40.00", "100.00", "25.00", "2.000", "100.00"]
    assert "first suggestions, lowest scores first" in printed
    assert "percent right" in printed


def test_answers_by_query(place):
    run(place, "literal", "--per-query", str(place / "answers.jsonl"))
    answers = read_per_query(place / "answers.jsonl")
    assert [answer.benchmark for answer in answers] == ["TECH"] * 3 + ["HOUSE"]
    assert answers[0].top[0] == "bake bread"
    assert answers[0].top_kinds[0] == "gold"
    assert answers[1].gold_ranks == (2, 3)


@pytest.mark.parametrize("system", ["tfidf-words", "tfidf-words-alt", "tfidf-chars", "tfidf-chars-alt", "bm25"])
def test_every_lexical_system_finds_the_easy_ones(place, system):
    record = run(place, system)
    assert record.system.kind == "lexical"
    assert record.benchmarks[0].gold_ranks[2] == "1"


def test_fusion_of_a_model_and_a_lexical_system(place):
    record = run(place, f"fusion:0.25*{place / 'model'}+0.75*tfidf-chars")
    assert record.system.kind == "fusion"
    assert record.system.name == "0.25 model + 0.75 tfidf-chars"
    assert record.system.settings["part 2"] == "0.75 * tfidf-chars (lexical)"
    assert str(place) not in record.model_dump_json()


def test_ones_own_system(place, monkeypatch):
    """A system that always says the last label: its gold never comes first."""

    class Last:
        name = "last"

        def index(self, names):
            self.labels = len(names)

        def scores(self, sentences):
            return np.tile(np.arange(self.labels, dtype=np.float32), (len(sentences), 1))

    module = ModuleType("mine")
    module.Last, module.Half = Last, type("Half", (), {"name": "half"})
    monkeypatch.setitem(sys.modules, "mine", module)
    assert run(place, "python:mine:Last").benchmarks[0].gold_ranks == ["5", "4 3", "2"]
    assert run(place, "python:mine:Half") == 2
    assert run(place, "python:mine:Gone") == 2


def test_label_space_of_a_dataset_folder(place, tmp_path, capsys):
    from datasets import Dataset

    from dataset_builder.schema import skills_features

    rows = [
        {"uri": URI.format(0), "label": "Python", "alternative_labels": [], "type": "knowledge"},
        {"uri": URI.format(1), "label": "bake bread ", "alternative_labels": ["make loaves"], "type": "competence"},
    ]
    (tmp_path / "skills").mkdir()
    Dataset.from_list(rows, features=skills_features()).to_parquet(str(tmp_path / "skills" / "skills.parquet"))
    out = tmp_path / "run.json"
    arguments = [
        "literal",
        "--benchmarks",
        str(place / "benchmarks"),
        "--label-space",
        str(tmp_path),
        "--out",
        str(out),
    ]
    assert run_command(score_model.main, arguments) == 0
    record = EvalResults.load(out)
    assert record.label_space.size == 2
    assert record.benchmarks[0].gold_missing == ["manage staff", "write reports"]
    (tmp_path / "skills" / "skills.parquet").unlink()
    assert run_command(score_model.main, arguments) == 2
    assert "holds no skills/skills.parquet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["fusion:literal"], "fusion:literal does not name two systems"),
        (["python:no_such_module:X"], "cannot be loaded"),
        (["literal", "--samples", "0"], "--samples must be 1 or more, got 0"),
        (["literal", "--batch-size", "-1"], "--batch-size must be 1 or more, got -1"),
        (["literal", "--threshold", "nan"], "--threshold must be a number, got nan"),
        (["literal", "--held-out-folds", "0", "99"], "there is no fold 99"),
    ],
)
def test_systems_and_options_that_cannot_be_are_one_line(place, capsys, arguments, message):
    assert run(place, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--weights-file", "model_quint8_blocks.onnx"], "--weights-file model_quint8_blocks.onnx is not for torch"),
        (["--backend", "onnx", "--device", "cuda"], "--device is for torch, and --backend is onnx"),
    ],
)
def test_an_option_that_would_not_be_heeded_is_refused(place, capsys, arguments, message):
    assert run(place, place / "model", *arguments) == 2
    assert message in capsys.readouterr().err


def test_folders_that_are_no_model_are_one_line(place, capsys):
    assert run(place, place / "benchmarks") == 2
    assert "is not a model folder: it holds no modules.json" in capsys.readouterr().err
    broken = place / "broken"
    broken.mkdir(exist_ok=True)
    (broken / "modules.json").write_text("{", encoding="utf-8")
    assert run(place, broken) == 2
    assert "Is the folder whole?" in capsys.readouterr().err
    (broken / "onnx").mkdir(exist_ok=True)
    (broken / "onnx" / "model_int8.onnx").write_bytes(b"")
    assert run(place, broken) == 2
    said = capsys.readouterr().err
    assert "cannot be opened" in said
    assert "Give --backend onnx --weights-file model_int8.onnx" in said


def test_facts_come_from_the_training_record(place, tmp_path):
    """Held-out folds and token-level matching are read from the record; a static model has no tokens to match, so
    cosine is asked for.
    """
    from dataset_builder.schema import fold_of

    folder = write_model(tmp_path / "trained")
    fold = fold_of(URI.format(3))
    record = training_record(held_out_folds=[fold], stages=[{"loss": {"name": "token_match"}}])
    (folder / "training_record.json").write_text(json.dumps(record), encoding="utf-8")
    found = run(place, folder, "--score", "cosine")
    assert (found.system.dataset, found.system.dataset_version, found.system.model_version) == (
        "data",
        "0.2.0",
        "1.0.0",
    )
    assert found.system.training_record_sha256 == sha256_of_file(folder / "training_record.json")
    assert found.benchmarks[0].slices["training"]["unseen"].queries >= 1
    (folder / "training_record.json").write_text(json.dumps({**record, "schema_version": 99}), encoding="utf-8")
    assert run(place, folder) == 2


def training_record(**recipe):
    return {
        "schema_version": 1,
        "name": "m",
        "version": "1.0.0",
        "created_at": "",
        "code_version": "",
        "command": "",
        "recipe_name": "r",
        "recipe": recipe,
        "seed": 0,
        "base_model": {"id": "b", "revision": None, "weights_sha256": ""},
        "dataset": {"id": "data", "revision": None, "version": "0.2.0", "sha256": ""},
        "sources": [],
        "label_space_version": "1.1.0",
        "label_space_sha256": "",
        "steps": 1,
        "epochs": 1.0,
        "pairs_per_s": 1.0,
        "duration_s": 1.0,
        "energy_kwh": None,
        "energy_method": "",
        "hardware": {"processes": 1, "device": "cpu", "cpu_cores": 2, "peak_memory_bytes": 1},
        "libraries": {},
        "losses": [],
        "validation": [],
        "best_step": 1,
        "weights_sha256": "",
    }


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("/home/me/models/m", "m"),
        ("/home/me/models/m/", "m"),
        ("../data/x.zip", "x.zip"),
        ("~/m", "m"),
        ("results/x.json", "results/x.json"),
        ("Team/model@v1", "Team/model@v1"),
        ("fusion:0.4*/a/b+0.6*bm25", "fusion:0.4*b+0.6*bm25"),
        ("OWN=/a/b.csv", "OWN=b.csv"),
    ],
)
def test_published_commands_name_no_folder_of_the_machine(given, shown):
    assert without_folders(given) == shown
