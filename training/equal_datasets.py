"""Two datasets -> two of the same skills with as many sentences of each, so that only their sentences differ."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from pathlib import Path

from dataset_builder.contract import StageError, sha256_of_lines, write_atomically
from dataset_builder.schema import SENTENCE, SKILL, SKILL_URI
from dataset_builder.seeded import stable_number
from training.dataset_rows import DatasetRows, Row, read_dataset


def equalise(first: str, second: str, work: Path) -> tuple[Path, Path]:
    """Write what two datasets share, as CSV files in a folder named after their contents.

    Only sentences that ask for one skill are taken; of a skill, as many as the poorer dataset has, those whose hash is
    smallest.

    Args:
        first: a dataset as training takes it.
        second: another.
        work: where the folder goes.

    Raises:
        StageError: one cannot be opened, or they share no skill.
    """
    datasets = [read_dataset(place) for place in (first, second)]
    by_skill = [_by_skill(dataset) for dataset in datasets]
    shared = [skill for skill in by_skill[0] if skill in by_skill[1]]
    if not shared:
        raise StageError(f"{first} and {second} share no skill", "Have both models write about the same skills")
    folder = work / f"equal-{sha256_of_lines([dataset.sha256 for dataset in datasets])[:12]}"
    paths = folder / "first.csv", folder / "second.csv"
    for path, rows in zip(paths, by_skill, strict=True):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([SENTENCE, SKILL, SKILL_URI])
        for skill in shared:
            count = min(len(one[skill]) for one in by_skill)
            chosen = sorted(rows[skill], key=lambda row: stable_number(row.sentence))[:count]
            writer.writerows([row.sentence, row.skill, row.uri] for row in chosen)
        write_atomically(path, text.getvalue())
    return paths


def _by_skill(dataset: DatasetRows) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in dataset.rows:
        if len(row.skills) == 1:
            found[row.skill].append(row)
    return found
