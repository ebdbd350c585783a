"""SkillSkape's training split, or a file of the same columns -> sentences with the labels of their skills."""

from __future__ import annotations

import ast
import csv
from pathlib import Path

from dataset_builder.contract import StageError


def read_skillskape(name: str, expected: str = "SkillSkape's train.csv") -> list[tuple[str, tuple[str, ...]]]:
    """Read SkillSkape: (sentence, skill labels) a row.

    Args:
        name: CSV with columns `sentence` and `skills` (a Python list as text), or the Hub id of such a dataset.
        expected: what errors ask for.

    Raises:
        StageError: it cannot be opened, a column is missing, or a list is none (with the line).
    """
    if not Path(name).exists() and "/" in name and not name.endswith(".csv"):
        return _skillskape_of_hub(name)
    try:
        with Path(name).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [column for column in ("sentence", "skills") if column not in (reader.fieldnames or ())]
            if missing:
                raise StageError(f"{name} has no column {missing[0]!r}", f"Give {expected}")
            return [(row["sentence"] or "", _listed(row["skills"], f"{name} line {reader.line_num}")) for row in reader]
    except FileNotFoundError:
        raise StageError(f"{name} does not exist", f"Give {expected} or its Hub id") from None
    except (UnicodeDecodeError, csv.Error, IsADirectoryError) as error:
        raise StageError(f"{name} is not a CSV file in UTF-8 ({error})", f"Give {expected}") from None


def _skillskape_of_hub(name: str) -> list[tuple[str, tuple[str, ...]]]:
    from training.dataset_rows import load_table

    table = load_table(name, ("sentence", "skills"))
    return [
        (sentence, tuple(skills) if isinstance(skills, list) else _listed(skills, name))
        for sentence, skills in zip(table["sentence"], table["skills"], strict=True)
    ]


def _listed(text: str, where: str) -> tuple[str, ...]:
    try:
        labels = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        labels = None
    if not isinstance(labels, list):
        raise StageError(f"{where}: column 'skills' holds no list ({str(text)[:60]!r})")
    return tuple(str(label) for label in labels)
