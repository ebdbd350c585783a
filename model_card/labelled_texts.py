"""Files of sentences under their skills' labels -> those to learn label vectors from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dataset_builder.contract import StageError, sha256_of_file
from training.overlap import give_away
from training.skillskape import read_skillskape

_EXPECTED = "SkillSkape's train.csv or what training.pseudo_labels wrote"


@dataclass(frozen=True)
class LabelledTexts:
    """Texts with their labels' rows. `files`: SHA-256 by name, "" of a Hub dataset; `left_out`: how many, by why."""

    texts: list[str]
    gold: list[tuple[int, ...]]
    files: dict[str, str]
    left_out: dict[str, int]


def read_labelled(names: Sequence[str], labels: Sequence[str], benchmarks: str | Path) -> LabelledTexts:
    """Read them, without any text that equals, nearly equals or holds a sentence of a benchmark.

    Args:
        names: CSVs with the columns `sentence` and `skills`, or Hub ids of such datasets.
        labels: the label space; a label that it lacks is left out.
        benchmarks: folder of benchmark CSVs, validation and test alike.

    Raises:
        StageError: a file or the folder cannot be read, two files have one name, or nothing is left.
    """
    files = {Path(name).name if Path(name).is_file() else name: name for name in names}
    if len(files) < len(names):
        raise StageError("two of the labelled files have one name", "Give them different names, and each once")
    row_of = {label: row for row, label in reversed(list(enumerate(labels)))}
    read = [row for name in names for row in read_skillskape(name, _EXPECTED)]
    rows = [(text, tuple(row_of[label.strip()] for label in given if label.strip() in row_of)) for text, given in read]
    known = [(text, gold) for text, gold in rows if text.strip() and gold]
    given_away = give_away([text for text, _ in known], benchmarks)
    kept = [row for row, away in zip(known, given_away, strict=True) if not away]
    if not kept:
        raise StageError(f"{', '.join(names)}: no sentence has a label of the skills to rank", f"Give {_EXPECTED}")
    return LabelledTexts(
        texts=[text for text, _ in kept],
        gold=[gold for _, gold in kept],
        files={name: sha256_of_file(path) if Path(path).is_file() else "" for name, path in files.items()},
        left_out={"without a label to rank": len(rows) - len(known), "of a benchmark": len(known) - len(kept)},
    )
