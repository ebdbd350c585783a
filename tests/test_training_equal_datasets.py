"""Two datasets made comparable: the same skills, as many sentences of each."""

import csv
from pathlib import Path

import pytest

from dataset_builder.contract import StageError
from training.equal_datasets import equalise


def write(path: Path, *rows: tuple[str, str]) -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("sentence", "skill"), *rows])
    return str(path)


def counts(path: Path) -> dict[str, int]:
    with path.open(encoding="utf-8", newline="") as file:
        skills = [row["skill"] for row in csv.DictReader(file)]
    return {skill: skills.count(skill) for skill in skills}


def test_the_poorer_decides_how_many(tmp_path: Path):
    """The first has 3 of a, 1 of b and 2 of c; the second 2 of a, 4 of b and 1 of d: 2 of a and 1 of b are shared."""
    first = write(
        tmp_path / "1.csv", *[(f"first a {n}", "a") for n in range(3)], ("one b", "b"), ("x", "c"), ("y", "c")
    )
    second = write(
        tmp_path / "2.csv", *[(f"other a {n}", "a") for n in range(2)], *[(f"b {n}", "b") for n in range(4)], ("z", "d")
    )
    paths = equalise(first, second, tmp_path / "work")
    assert [counts(path) for path in paths] == [{"a": 2, "b": 1}] * 2
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in equalise(first, second, tmp_path / "work")] == before
    assert b"first a" in before[0]
    assert b"other a" in before[1]


def test_nothing_shared_is_an_error(tmp_path: Path):
    with pytest.raises(StageError, match="share no skill"):
        equalise(write(tmp_path / "1.csv", ("x", "a")), write(tmp_path / "2.csv", ("y", "b")), tmp_path)
