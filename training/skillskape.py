"""SkillSkape's training split, or a file of the same columns -> sentences with the labels of their skills."""

from __future__ import annotations

from pathlib import Path

from dataset_builder.benchmark_files import list_in, read_csv
from dataset_builder.contract import StageError


def read_skillskape(name: str, expected: str = "SkillSkape's train.csv") -> list[tuple[str, tuple[str, ...]]]:
    """Read SkillSkape: (sentence, skill labels) a row.

    Args:
        name: CSV with columns `sentence` and `skills` (a Python list as text), or the Hub id of such a dataset.
        expected: what errors ask for.

    Raises:
        StageError: it cannot be opened, as `read_csv`, or a list is none (with the line).
    """
    if not Path(name).exists() and "/" in name and not name.endswith(".csv"):
        return _skillskape_of_hub(name)
    try:
        rows = read_csv(Path(name), ("sentence", "skills"), f"Give {expected}")
        return [(row["sentence"], _listed(row["skills"], f"{name} line {line}")) for line, row in rows]
    except FileNotFoundError:
        raise StageError(f"{name} does not exist", f"Give {expected} or its Hub id") from None
    except IsADirectoryError:
        raise StageError(f"{name} is a folder", f"Give {expected}") from None


def _skillskape_of_hub(name: str) -> list[tuple[str, tuple[str, ...]]]:
    from training.dataset_rows import load_table

    table = load_table(name, ("sentence", "skills"))
    return [
        (sentence or "", tuple(map(str, skills)) if isinstance(skills, list) else _listed(skills, name))
        for sentence, skills in zip(table["sentence"], table["skills"], strict=True)
    ]


def _listed(text: object, where: str) -> tuple[str, ...]:
    labels = list_in(text) if isinstance(text, str) else None
    if labels is None:
        raise StageError(f"{where}: column 'skills' holds no list ({str(text)[:60]!r})")
    return tuple(str(label) for label in labels)
