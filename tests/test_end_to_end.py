"""The one-way flow over real files, with a stub LLM and a tiny encoder: build, train, score, card, open, find."""

import http.server
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dataset_builder.schema import DatasetManifest
from eval.results import EvalResults
from training.run_record import TrainingRecord

REPO = Path(__file__).resolve().parent.parent
SAMPLE = "dataset_builder/sample_esco"
BENCHMARK = "eval/mini_benchmark.csv"


class StubLlm(http.server.BaseHTTPRequestHandler):
    """Answers every chat request with as many distinct numbered lines as it asks for, made of the skill's words."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = body["messages"][-1]["content"]
        skill = re.search(r"Skill: ([^(\n]+)", asked)[1].strip()
        places = ("daily in our branch", "with two colleagues on site", "and report to the head office", "for clients")
        openings = ("Every shift you work on", "Sound practice in", "You look after", "We rely on you for")
        lines = [
            f"{number}. {opening} {skill.split()[-1]} tasks {place}."
            for number, (opening, place) in enumerate(zip(openings, places, strict=True), 1)
        ]
        reply = {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "\n".join(lines)}}
            ],
            "usage": {"prompt_tokens": 50, "completion_tokens": 40, "total_tokens": 90},
        }
        data = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words):
        pass


@pytest.fixture(scope="module")
def stub_llm():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), StubLlm)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A seeded BERT of two layers, hidden size 32, over the letters and the sample's words."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    from dataset_builder.esco import read_esco

    folder = tmp_path_factory.mktemp("bert")
    words = sorted({word for label in read_esco(REPO / SAMPLE).labels for word in re.findall(r"\w+", label.lower())})
    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789.,", *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")]
    vocabulary = dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *words])
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    torch.manual_seed(7)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(vocabulary), max_position_embeddings=128, **sizes)).save_pretrained(folder)
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    model = SentenceTransformer(
        modules=[transformer := Transformer(str(folder)), Pooling(transformer.get_embedding_dimension())]
    )
    model.save(str(folder / "encoder"))
    return folder / "encoder"


def run(*words: object, expected: int = 0) -> subprocess.CompletedProcess:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-m", *map(str, words)], cwd=REPO, env=environment, capture_output=True, text=True
    )
    assert done.returncode == expected, f"{words}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done


@pytest.fixture(scope="module")
def work(tmp_path_factory, stub_llm, encoder) -> Path:
    """Run the stages' commands in order, as README gives them."""
    work = tmp_path_factory.mktemp("work")
    run(
        *("dataset_builder.build", "--esco", SAMPLE, "--version", "0.1.0", "--out", work / "dataset"),
        *("--base-url", stub_llm, "--model", "stub", "--sentences-per-skill", 4),
    )
    launch = ("accelerate.commands.launch", "--config_file", "training/accelerate/cpu.yaml", "-m", "training.train")
    run(
        *launch,
        *("--recipe", "training/recipes/quick.yaml", "--dataset", work / "dataset", "--base-model", encoder),
        *("--esco", SAMPLE, "--max-steps", 3, "--out", work / "model"),
    )
    for name, model in (("before", encoder), ("after", work / "model")):
        run(
            *("eval.score_model", model, "--benchmarks", BENCHMARK, "--esco", SAMPLE),
            *("--split", "test", "--out", work / f"{name}.json"),
        )
    run(
        *("model_card.build", work / "model", "--results", work / "after.json", work / "before.json"),
        *("--dataset", work / "dataset", "--esco", SAMPLE),
    )
    return work


def test_dataset_opens_with_load_dataset(work):
    from datasets import load_dataset

    pairs = load_dataset(str(work / "dataset"))
    skills = load_dataset(str(work / "dataset"), "skills", split="train")
    manifest = DatasetManifest.load(work / "dataset")
    assert {name: split.num_rows for name, split in pairs.items()} == {
        file.split: file.rows for file in manifest.files if file.config == "pairs"
    }
    assert skills.num_rows == manifest.esco.skills == 125
    assert set(pairs["train"]["skill"]) <= set(skills["label"])


def test_the_manifests_sums_match(work):
    manifest = DatasetManifest.load(work / "dataset")
    skills = manifest.skills
    assert skills.requested == 125
    assert skills.accepted + sum(skills.rejected.values()) + sum(skills.failed.values()) == skills.requested
    assert manifest.sentences_accepted + sum(manifest.sentences_rejected.values()) == manifest.sentences_written


def test_a_next_version_says_what_changed(work, stub_llm):
    run(
        *("dataset_builder.build", "--esco", SAMPLE, "--version", "0.2.0", "--out", work / "next"),
        *("--base-url", stub_llm, "--model", "stub", "--sentences-per-skill", 4, "--previous", work / "dataset"),
        *("--skills-limit", 60),
    )
    before, after = (
        sum(file.rows for file in DatasetManifest.load(work / name).files if file.config == "pairs")
        for name in ("dataset", "next")
    )
    assert before > after
    card = (work / "next" / "README.md").read_text()
    assert f"What changed since 0.1.0:\n\n- pairs: {before:,} -> {after:,}\n" in card
    assert "What changed" not in (work / "dataset" / "README.md").read_text()


def test_model_opens_and_its_record_names_its_dataset(work):
    from sentence_transformers import SentenceTransformer

    record = TrainingRecord.load(work / "model")
    manifest = DatasetManifest.load(work / "dataset")
    assert record.dataset.version == manifest.version == "0.1.0"
    assert record.steps == 3
    model = SentenceTransformer(str(work / "model"), device="cpu")
    assert model.encode(["You write SQL queries."]).shape == (1, 32)


def test_results_are_of_this_model(work):
    before, after = EvalResults.load(work / "before.json"), EvalResults.load(work / "after.json")
    record = TrainingRecord.load(work / "model")
    assert after.system.weights_sha256 == record.weights_sha256
    assert before.system.weights_sha256 != after.system.weights_sha256
    assert before.label_space == after.label_space
    assert after.benchmarks[0].queries == 84


def test_compare_prints_both(work):
    table = run("eval.compare", work / "before.json", work / "after.json").stdout
    value = EvalResults.load(work / "after.json").benchmarks[0].metrics["rp@5"].value
    assert f"{100 * value:.2f}" in table


def test_card_quotes_the_results(work):
    card = (work / "model" / "README.md").read_text()
    value = EvalResults.load(work / "after.json").benchmarks[0].metrics["rp@5"].value
    assert f"{100 * value:.1f}" in card
    assert "model-index" in card


def test_the_page_s_finder_opens_the_folder(work):
    from skill_finder import SkillFinder

    finder = SkillFinder.from_pretrained(work / "model")
    text = "You write SQL queries."
    matches = finder.find_skills(text, top_k=5, threshold=-1.0)
    assert matches
    assert "SQL" in {match.label for match in matches}
    assert all(text[piece.start : piece.end] for match in matches for piece in match.evidence)


def test_a_second_build_changes_nothing(work, stub_llm):
    before = (work / "dataset" / "manifest.json").read_bytes()
    run(
        *("dataset_builder.build", "--esco", SAMPLE, "--version", "0.1.0", "--out", work / "dataset"),
        *("--base-url", stub_llm, "--model", "stub", "--sentences-per-skill", 4),
    )
    assert (work / "dataset" / "manifest.json").read_bytes() == before


def scoring(model: str, benchmarks: str = BENCHMARK, esco: str = SAMPLE) -> tuple[str, ...]:
    return ("eval.score_model", model, "--benchmarks", benchmarks, "--esco", esco, "--out", "artifacts/never.json")


def training(recipe: str) -> tuple[str, ...]:
    return ("training.train", "--recipe", recipe, "--dataset", SAMPLE, "--out", "artifacts/never")


NO_SERVER = ("--base-url", "http://127.0.0.1:9/v1", "--model", "m", "--out", "artifacts/never")
BAD_INPUT = {
    "no model": (scoring("no/such/model"), "no/such/model"),
    "not a model folder": (scoring(SAMPLE), SAMPLE),
    "not a benchmark": (scoring("tfidf-words", benchmarks="Makefile"), "Makefile"),
    "not ESCO": (scoring("tfidf-words", esco="README.md"), "README.md"),
    "no recipe": (training("training/recipes/none.yaml"), "none.yaml"),
    "unknown key": (training("training/accelerate/cpu.yaml"), "cpu.yaml"),
    "no zip": (("dataset_builder.build", "--esco", "none.zip", "--version", "1.0.0", *NO_SERVER), "none.zip"),
    "no record": (("model_card.build", SAMPLE, "--results", "none.json", "--dataset", SAMPLE, "--esco", SAMPLE), ""),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line(case):
    words, named = BAD_INPUT[case]
    done = run(*words, expected=2)
    assert "Traceback" not in done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert named in line
