"""Many ads -> a Parquet file of their skills.

    python -m space.bulk ads.parquet skills.parquet --text-column description
    python -m space.bulk ads.jsonl skills.parquet --engine ray --workers 8
    python -m space.bulk --estimate --ads 1000000

Reads CSV, JSONL and Parquet (also packed, also folders of them) and datasets on the Hub. Memory stays bounded, the same
text is read once, and after a crash the same command goes on, where ads, model, skills and options are still the same.
One row an ad: row, key, skills, error.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bulk_output import PART_ROWS, Parts
from bulk_parts import PartWorker, in_parts
from bulk_rows import AdSource, Row
from dataset_builder.contract import StageError, run_command
from encoders import BACKENDS
from page_model import HERE, open_service
from skill_finder import SkillFinder, SkillFinderError
from skill_index import sha256_of_lines

ESTIMATE_SECONDS = 10.0


def run_local(source: AdSource, parts: Parts, worker: PartWorker, quiet: bool = False) -> int:
    """Find the skills of every row here; returns the number of parts."""
    from tqdm import tqdm

    done = next(number for number in itertools.count() if not parts.is_done(number))
    number = done
    with tqdm(total=source.count(), initial=done * PART_ROWS, unit=" ads", disable=quiet, smoothing=0.1) as bar:
        for number, rows in enumerate(in_parts(source.rows(done * PART_ROWS)), done):
            if not parts.is_done(number):
                parts.save(number, worker.work(rows, number * PART_ROWS))
            bar.update(len(rows))
            number += 1
    return number


def run_settings(source: AdSource, finder: SkillFinder, given: argparse.Namespace) -> dict[str, Any]:
    """What must be the same for a run to go on where it was."""
    index = finder.index
    return {
        "input": source.state(),
        "split": source.split,
        "text column": source.text_column,
        "key column": source.key_column,
        "threshold": finder.settings.threshold if given.threshold is None else given.threshold,
        "number of skills": given.top_k,
        "near-duplicates": given.all,
        "model": finder.name,
        "weights": finder.weights_sha256,
        "backend": finder.backend,
        "calibration": json.dumps(asdict(finder.settings), default=lambda array: array.tolist(), sort_keys=True),
        "taxonomy": sha256_of_lines([*map(repr, index.skills), hashlib.sha256(index.vectors.tobytes()).hexdigest()]),
        "part size": PART_ROWS,
    }


def check_output(source: AdSource, out: Path) -> None:
    """Refuse an output that would be read as input, or cannot be written.

    Raises:
        StageError: the output is the input, lies in its folder, or is a folder.
    """
    place, target = Path(source.place).resolve(), out.resolve()
    if target == place:
        raise StageError(f"the output {out} is the input itself", "Name another output")
    if target.is_dir():
        raise StageError(f"the output {out} is a folder", "Name a file, such as skills.parquet")
    if place.is_dir() and target.is_relative_to(place):
        raise StageError(f"the output {out} lies in the folder of the input", "Write it elsewhere")


def estimate(finder: SkillFinder, ads: int, seconds: float = ESTIMATE_SECONDS) -> str:
    """Time the example ads here for a while, and say how long `ads` ads take."""
    texts = [file.read_text(encoding="utf-8") for file in sorted((HERE / "examples").glob("*.txt"))]
    if not texts:
        raise StageError("there is no example ad in space/examples to time")
    worker = PartWorker(finder)
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        # A number in front of every line keeps the passages new, as in real ads.
        chunk = [
            "\n".join(f"{done + i}.{j} {line}" for j, line in enumerate(text.splitlines()))
            for i, text in enumerate(texts)
        ]
        worker.work([Row(text) for text in chunk], 0)
        done += len(chunk)
    rate = done / (time.perf_counter() - started)
    return f"{rate:.1f} ads a second here ({finder.backend}); {ads:,} ads take about {_duration(ads / rate)}."


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    if seconds < 7200:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run over a file, or estimate."""
    given = _parser().parse_args(arguments)
    _check_numbers(given)
    if not given.estimate and not (given.input and given.output):
        raise StageError("give an input and an output", "Such as: python -m space.bulk ads.csv skills.parquet")
    try:
        if given.estimate:
            print(estimate(open_service(given.model, given.skills, given.backend).finder, given.ads))
            return
        source = AdSource(given.input, given.text_column, given.key_column, given.split)
        check_output(source, given.output)
        source.check()
        finder = open_service(given.model, given.skills, given.backend).finder
        parts = Parts(given.output)
        with parts.held():
            parts.open(run_settings(source, finder, given), given.restart)
            if given.engine == "ray":
                from bulk_ray import run_on_ray

                count = run_on_ray(source, parts, given, finder)
            else:
                worker = PartWorker(finder, given.threshold, given.top_k, merge=not given.all)
                count = run_local(source, parts, worker)
            made = parts.join(count)
    except SkillFinderError as error:
        raise StageError(str(error)) from None
    print(f"{given.output}: {made.rows:,} ads" + (f", {made.errors:,} with an error" if made.errors else ""))


def _check_numbers(given: argparse.Namespace) -> None:
    if given.threshold is not None and not -1 <= given.threshold <= 1:
        raise StageError(f"--threshold must be between -1 and 1, got {given.threshold}")
    for option in ("top_k", "workers", "ads"):
        value = getattr(given, option)
        if value is not None and value < 1:
            raise StageError(f"--{option.replace('_', '-')} must be at least 1, got {value}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m space.bulk", description="Find the skills of many ads.")
    parser.add_argument(
        "input", nargs="?", help="CSV, JSONL or Parquet file, a folder of them, or a Hub dataset[@revision]"
    )
    parser.add_argument("output", nargs="?", type=Path, help="Parquet file to write")
    parser.add_argument("--text-column", default="text")
    parser.add_argument("--key-column", help="column whose value is carried over as `key`")
    parser.add_argument("--split", default="train", help="split of a Hub dataset")
    parser.add_argument("--model", default="", help="model folder or Hub id; default: as the page")
    parser.add_argument("--skills", default="", help="own list of skills; default: as the page")
    parser.add_argument("--backend", choices=BACKENDS, default="auto")
    parser.add_argument("--threshold", type=float, help="least score; default: the calibrated one")
    parser.add_argument("--top-k", type=int, help="at most so many skills an ad")
    parser.add_argument("--all", action="store_true", help="near-duplicates of a better skill as well")
    parser.add_argument("--engine", choices=("local", "ray"), default="local")
    parser.add_argument("--workers", type=int, default=2, help="with --engine ray: how many processes")
    parser.add_argument("--restart", action="store_true", help="throw away the parts of an earlier run")
    parser.add_argument("--estimate", action="store_true", help="say how long --ads ads take on this machine")
    parser.add_argument("--ads", type=int, default=100_000)
    return parser


if __name__ == "__main__":
    sys.exit(run_command(main))
