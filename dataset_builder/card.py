"""A dataset folder -> its card and pictures written anew, with the verdicts of a judged sample where there are some.

python -m dataset_builder.card DATASET
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from dataset_builder import schema
from dataset_builder.contract import StageError, run_command, write_atomically
from dataset_builder.dataset_card import render_card
from dataset_builder.judged_files import BY_LLM, SWAPPED, Accuracy, by_hand_file, read_accuracy
from dataset_builder.pictures import draw_pictures
from dataset_builder.schema import DatasetManifest
from dataset_builder.seeded import stable_number
from dataset_builder.versions import read_columns


def with_verdicts(manifest: DatasetManifest, folder: str | Path) -> DatasetManifest:
    """The manifest with the accuracies of the judged samples in the folder.

    Raises:
        StageError: a sample is there and cannot be read; one for people that is not filled in is left out.
    """
    quality, judge = dict(manifest.quality), {"judge": manifest.judge, "judge_model": manifest.judge_model}
    by_llm, by_hand = Path(folder) / BY_LLM, by_hand_file(folder)
    if by_llm.exists():
        rows = csv.DictReader(io.StringIO(_text_of(by_llm), newline=""))
        has_swapped = any(row.get("pair") == SWAPPED for row in rows)
        accuracy = read_accuracy(by_llm)
        quality |= _figures("judged", accuracy)
        judge = {"judge": accuracy.judge, "judge_model": accuracy.model}
        if has_swapped:
            quality |= _figures("judged_swapped", read_accuracy(by_llm, SWAPPED))
    if by_hand.exists() and not _is_empty(by_hand):
        quality |= _figures("judged_by_hand", read_accuracy(by_hand))
    return manifest.model_copy(update={"quality": quality, **judge})


def _figures(prefix: str, accuracy: Accuracy) -> dict[str, float | None]:
    """A sample's figures as they stand in the manifest's quality."""
    low, high = accuracy.interval
    figures = {"correct": accuracy.share, "low": low, "high": high, "sample": float(accuracy.judged)}
    return {f"{prefix}_{name}": value for name, value in figures.items()}


def write_card(folder: str | Path, manifest: DatasetManifest) -> None:
    """Write pictures and README.md into the folder."""
    text = render_card(manifest, draw_pictures(manifest, folder), example_pairs(folder))
    write_atomically(Path(folder) / "README.md", text)


def example_pairs(folder: str | Path) -> list[tuple[str, str, str]]:
    """(sentence, skill, style) of one pair of each style, taken by hash and not by quality; none without data.

    Raises:
        StageError: the pairs are there and cannot be read.
    """
    path = Path(folder) / schema.PAIRS_FILES["train"]
    if not path.is_file():
        return []
    rows = read_columns(path, (schema.SENTENCE, schema.SKILL, schema.STYLE)).to_pylist()
    first: dict[str, tuple[str, str, str]] = {}
    for row in sorted(rows, key=lambda row: stable_number(row[schema.SENTENCE])):
        first.setdefault(row[schema.STYLE], (row[schema.SENTENCE], row[schema.SKILL], row[schema.STYLE]))
    return [first[style] for style in sorted(first)]


def _is_empty(path: Path) -> bool:
    """Whether nobody has filled in a verdict; a file whose column is gone holds something else."""
    rows = csv.DictReader(io.StringIO(_text_of(path), newline=""))
    return all("verdict" in row and not (row["verdict"] or "").strip() for row in rows)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise StageError(f"{path} is not UTF-8 text ({error.reason})", "Save it as CSV UTF-8") from None


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m dataset_builder.card", description="Write a dataset's card anew")
    parser.add_argument("dataset", help="dataset folder")
    options = parser.parse_args(arguments)
    manifest = with_verdicts(DatasetManifest.load(options.dataset), options.dataset)
    write_card(options.dataset, manifest)
    manifest.save(options.dataset)


if __name__ == "__main__":
    sys.exit(run_command(main))
