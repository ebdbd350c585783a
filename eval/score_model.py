"""One system and some benchmarks -> results.json and a table with intervals.

    python -m eval.score_model MODEL --benchmarks DIR_OR_hub --esco ESCO_ZIP_OR_FOLDER_OR_VERSION \
        --split test --out results/NAME.json

MODEL is a model folder, a Hub id[@revision], literal, tfidf-words, tfidf-words-alt, tfidf-chars, tfidf-chars-alt,
bm25, fusion:0.6*A+0.4*B, or python:MODULE:NAME.
"""

from __future__ import annotations

import argparse
import math
import platform
import resource
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from dataset_builder.contract import StageError, code_version, run_command, shown_command
from dataset_builder.schema import FOLDS
from eval.benchmarks import SPLITS, load_benchmarks, with_empty_sentences
from eval.encoders import LABELS, SCORES, EncoderOptions
from eval.label_space import SkillNames, names_of_dataset, names_of_esco
from eval.measure import measure
from eval.per_query import QueryResult, query_results, write_per_query
from eval.ranking import TIE_ORDER
from eval.results import BenchmarkResult, EvalResults, SystemInfo
from eval.significance import SAMPLES, SEED
from eval.systems import open_system
from eval.tables import details_table, results_table

LIBRARIES = ("torch", "sentence-transformers", "transformers", "numpy", "scikit-learn", "bm25s", "onnxruntime")


def main(arguments: Sequence[str] | None = None) -> None:
    """Score a system, write its results, print the table."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser().parse_args(given)
    _check(options)
    started = time.perf_counter()
    benchmarks = load_benchmarks(options.benchmarks, options.split)
    if options.without_skill:
        benchmarks = with_empty_sentences(benchmarks, options.without_skill)
    names = names_of_dataset(options.label_space) if options.label_space else names_of_esco(options.esco)
    encoder = EncoderOptions(
        options.backend,
        options.weights_file,
        options.batch_size,
        options.device,
        options.score,
        options.labels,
        names.labels,
    )
    opened = open_system(options.model, encoder, options.name)
    print(f"{opened.info.name}: indexing {len(names):,} skill names", file=sys.stderr)
    opened.system.index(names)
    held_out = opened.held_out_folds if options.held_out_folds is None else options.held_out_folds
    results: list[BenchmarkResult] = []
    answers: list[QueryResult] = []
    for benchmark in benchmarks:
        print(f"{opened.info.name}: {benchmark.name}, {len(benchmark.queries):,} queries", file=sys.stderr)
        measured = measure(opened.system, benchmark, names, held_out, options.samples, options.threshold)
        results.append(measured.result)
        if options.per_query:
            answers += query_results(benchmark, measured.rankings, names)
    record = _record(given, options, opened.info, names, results, time.perf_counter() - started)
    if options.per_query:
        write_per_query(options.per_query, answers)
    path = record.save(options.out)
    details = f"\n\n{details_table(record)}" if options.details else ""
    print(f"{results_table(record)}{details}\n\nwritten to {path}")


def _check(options: argparse.Namespace) -> None:
    """Refuse values that cannot be before anything is loaded."""
    for name in ("samples", "batch_size"):
        if getattr(options, name) < 1:
            raise StageError(f"--{name.replace('_', '-')} must be 1 or more, got {getattr(options, name)}")
    if options.threshold is not None and not math.isfinite(options.threshold):
        raise StageError(f"--threshold must be a number, got {options.threshold}")
    # An export runs on the CPU, and torch takes the folder's own weights: neither would heed the other's option.
    if options.device and options.backend != "torch":
        raise StageError(f"--device is for torch, and --backend is {options.backend}", "Exports run on the CPU")
    if options.weights_file and options.backend == "torch":
        raise StageError(f"--weights-file {options.weights_file} is not for torch", "Give --backend onnx or openvino")
    wrong = [fold for fold in options.held_out_folds or () if not 0 <= fold < FOLDS]
    if wrong:
        raise StageError(f"there is no fold {wrong[0]}", f"Folds are numbered 0 to {FOLDS - 1}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m eval.score_model", description="Measure how good a system is.")
    add = parser.add_argument
    add("model", metavar="MODEL", help="folder, Hub id[@revision], tfidf-chars, fusion:A+B, python:MODULE:NAME, ...")
    add("--benchmarks", nargs="+", required=True, metavar="PLACE", help="folder, [NAME=]CSV or Hub id, or hub for all")
    space = parser.add_mutually_exclusive_group(required=True)
    space.add_argument("--esco", nargs="+", metavar="PLACE", help="ESCO zips or folders, or a version such as 1.1.0")
    space.add_argument("--label-space", metavar="DATASET", help="dataset folder or Hub id[@revision] instead of --esco")
    add("--split", choices=SPLITS, default="test", help="default: test")
    add("--out", required=True, metavar="FILE.json", help="where the results go")
    add("--name", default="", help="how the system is called in tables")
    add("--details", action="store_true", help="also print slices and thresholds")
    add("--per-query", metavar="FILE.jsonl", help="also write the ten best labels of every query")
    add("--threshold", type=float, metavar="SCORE", help="also measure this threshold, chosen on validation")
    add("--without-skill", metavar="FILE", help="SkillSpan's JSON lines: sentences without skills for TECH and HOUSE")
    add("--backend", choices=("torch", "onnx", "openvino"), default="torch", help="default: torch")
    add("--weights-file", default="", metavar="NAME", help="which ONNX or OpenVINO file, with its --backend")
    add("--batch-size", type=int, default=64, metavar="N", help="texts encoded at once; default: 64")
    add("--device", help="cpu, cuda, ... for torch; default: the best there is")
    add("--score", choices=SCORES, default="auto", help="default: what the model was trained for")
    vectors = "a label's vector: of its name, or of the folder's label index (default: that of an index of prototypes)"
    add("--labels", choices=LABELS, default="auto", help=vectors)
    add(
        "--held-out-folds",
        nargs="*",
        type=int,
        metavar="N",
        help="folds that training did not see; default: its record",
    )
    add("--samples", type=int, default=SAMPLES, metavar="N", help=f"bootstrap samples; default: {SAMPLES}")
    return parser


def _record(
    given: Sequence[str],
    options: argparse.Namespace,
    info: SystemInfo,
    names: SkillNames,
    results: list[BenchmarkResult],
    seconds: float,
) -> EvalResults:
    return EvalResults(
        schema_version=EvalResults.SCHEMA_VERSION,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        code_version=code_version(),
        command=shown_command("eval.score_model", given),
        split=options.split,
        system=info,
        label_space=names.record,
        tie_order=TIE_ORDER,
        bootstrap_samples=options.samples,
        bootstrap_seed=SEED,
        benchmarks=results,
        versions={"python": platform.python_version(), **_installed(LIBRARIES)},
        seconds=seconds,
        # Linux counts in KiB, macOS in bytes.
        peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        * (1 if sys.platform == "darwin" else 1024),
    )


def _installed(names: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    sys.exit(run_command(main))
