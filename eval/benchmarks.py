"""TECH, HOUSE, TECHWOLF, SkillSkape, Skill-XL, or any CSV of sentence and label, -> queries with gold sets.

Files and Hub datasets of one shape are read alike. The shape is told by the columns: (sentence, label) is the shape of
TECH, HOUSE and TECHWOLF; (sentence, skills) holds lists, in a CSV Python lists as text, as SkillSkape; (sentence,
relevant, skill) is Skill-XL, of which only relevant rows count.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dataset_builder.benchmark_files import (
    UNUSABLE_LABELS,
    BenchmarkFile,
    GoldSentence,
    group_rows,
    list_in,
    read_csv,
    text_key,
)
from dataset_builder.contract import StageError, sha256_of_file, sha256_of_lines

HUB_BENCHMARKS = {
    "TECH": "TechWolf/skill-extraction-tech",
    "HOUSE": "TechWolf/skill-extraction-house",
    "TECHWOLF": "TechWolf/skill-extraction-techwolf",
}
SPLITS = ("test", "validation")
# What the validation split is called on the Hub, the usual name first.
HUB_SPLITS = {"test": ("test",), "validation": ("validation", "development", "dev")}
_NO_LABEL = min(UNUSABLE_LABELS)
# What SkillSkape writes in its lists for a skill that ESCO lacks, or for none.
_SKILLSKAPE_UNKNOWN = "UNK"
Row = Mapping[str, object]


@dataclass(frozen=True)
class Benchmark:
    """One benchmark under the protocol.

    `without_skill` are sentences of the file without any usable label; `left_out` counts queries that the test split
    holds as well and that were therefore left out of the validation split; `shared` are the keys of the test split.
    """

    name: str
    split: str
    queries: tuple[GoldSentence, ...]
    without_skill: tuple[str, ...]
    rows: int
    dropped_rows: int
    data_sha256: str
    left_out: int = 0
    shared: frozenset[str] = frozenset()


def load_benchmarks(sources: Sequence[str], split: str) -> list[Benchmark]:
    """Open benchmarks.

    Args:
        sources: each one of: "hub" (TECH, HOUSE and TECHWOLF by their Hub names), a folder with files such as
            tech_test.csv, a CSV, a Hub id with an optional @revision; `NAME=` before a CSV or a Hub id names it.
        split: "test" or "validation". A CSV whose name says which one it holds must hold this one; of any other it is
            taken at your word. Validation is left without the sentences of the test files beside it.

    Raises:
        StageError: nothing there, the file of another split, a column is missing, no usable row, none of validation
            that test lacks, or two benchmarks of one name.
    """
    benchmarks = [benchmark for source in sources for benchmark in _open(source, split)]
    names = [benchmark.name for benchmark in benchmarks]
    for name in names:
        if names.count(name) > 1:
            raise StageError(f"two benchmarks are named {name}", "Name one of them: NAME=FILE")
    return benchmarks


def _open(source: str, split: str) -> list[Benchmark]:
    if source == "hub":
        return [b for name, place in HUB_BENCHMARKS.items() for b in _from_hub(place, split, name)]
    name, equals, place = source.partition("=")
    if not equals or Path(source).exists():
        name, place = "", source
    path = Path(place)
    if path.is_dir():
        return _from_folder(path, split)
    if path.is_file():
        _refuse_other_split(path, split)
        return [_from_csv(path, split, name or _name_of(path))]
    if path.suffix == ".csv" or place.count("/") != 1:
        raise StageError(f"{place} does not exist", "Give a folder, a CSV, a Hub id or the word hub")
    found = _from_hub(place, split, name or place.split("/")[1].partition("@")[0].upper())
    if not found:
        raise StageError(f"{place} has no split {split!r}")
    return found


def _refuse_other_split(path: Path, split: str) -> None:
    named = _split_in_name(path)
    if named not in ("", split):
        raise StageError(f"{path} is of the split {named} by its name, not of {split}", f"Give --split {named}")


def _split_in_name(path: Path) -> str:
    """The split that a file such as tech_test.csv or test.csv is of by its name; "" where the name says none."""
    return next((split for split in SPLITS if path.stem == split or path.stem.endswith(f"_{split}")), "")


def _from_folder(folder: Path, split: str) -> list[Benchmark]:
    files = {file.name.removesuffix(f"_{split}.csv").upper(): file for file in folder.glob(f"*_{split}.csv")}
    if not files:
        raise StageError(f"{folder} holds no file such as tech_{split}.csv", "Give a folder of NAME_SPLIT.csv files")
    known_first = [name for name in HUB_BENCHMARKS if name in files]
    others = sorted(name for name in files if name not in HUB_BENCHMARKS)
    return [_from_csv(files[name], split, name) for name in known_first + others]


def _from_csv(path: Path, split: str, name: str) -> Benchmark:
    benchmark = _benchmark(name, split, _grouped(csv_rows(path), str(path)), sha256_of_file(path))
    if split != "validation":
        return benchmark
    tests = sorted(file for file in path.parent.glob("*.csv") if _split_in_name(file) == "test")
    return without_shared(benchmark, [_grouped(csv_rows(test), str(test)) for test in tests])


def _from_hub(place: str, split: str, name: str) -> list[Benchmark]:
    """The benchmark in a list, or nothing when the Hub dataset has no such split (TECHWOLF has a test split only)."""
    from datasets import load_dataset

    hub_id, _, revision = place.partition("@")
    try:
        splits = load_dataset(hub_id, revision=revision or None)
    except (OSError, ValueError) as error:
        raise StageError(f"the dataset {place} cannot be opened ({error})", "Is its name right?") from error
    found = next((name for name in HUB_SPLITS[split] if name in splits), None)
    if found is None:
        return []
    rows = list(splits[found])
    lines = ["\t".join(str(value) for value in row.values()) for row in rows]
    benchmark = _benchmark(name, split, _grouped(rows, place), sha256_of_lines(lines))
    if split == "validation" and "test" in splits:
        benchmark = without_shared(benchmark, [_grouped(list(splits["test"]), place)])
    return [benchmark]


def _benchmark(name: str, split: str, grouped: BenchmarkFile, data_sha256: str) -> Benchmark:
    return Benchmark(
        name=name,
        split=split,
        queries=grouped.queries,
        without_skill=grouped.without_skill,
        rows=grouped.rows,
        dropped_rows=grouped.dropped_rows,
        data_sha256=data_sha256,
    )


def without_shared(benchmark: Benchmark, tests: Sequence[BenchmarkFile]) -> Benchmark:
    """Leave out what a test split holds too, however spelled: what is chosen on it is chosen on test.

    Raises:
        StageError: nothing is left.
    """
    shared = frozenset(text_key(sentence) for test in tests for sentence in test.sentences)
    queries = tuple(query for query in benchmark.queries if text_key(query.sentence) not in shared)
    if not queries:
        raise StageError(
            f"all {len(benchmark.queries)} validation queries of {benchmark.name} stand in a test split as well",
            "Put sentences of their own into validation",
        )
    return replace(
        benchmark,
        queries=queries,
        without_skill=tuple(sentence for sentence in benchmark.without_skill if text_key(sentence) not in shared),
        left_out=len(benchmark.queries) - len(queries),
        shared=shared,
    )


def with_empty_sentences(benchmarks: Sequence[Benchmark], path: str | Path) -> list[Benchmark]:
    """Add sentences without any skill from a SkillSpan file (JSON lines with tokens, tags_skill, tags_knowledge).

    A line's `source`, such as "tech", names the benchmark that it goes to. Sentences that the benchmark holds already
    are not added.

    Raises:
        StageError: no such file, or a line of another shape.
    """
    empty: dict[str, dict[str, None]] = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            has_skill = not {*row["tags_skill"], *row["tags_knowledge"]} <= {"O"}
            source, sentence = row["source"].upper(), " ".join(row["tokens"])
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise StageError(f"{path} line {number}: not a SkillSpan line ({error!r})") from None
        if not has_skill:
            empty.setdefault(source, {})[sentence] = None
    added = []
    for benchmark in benchmarks:
        known = {text_key(query.sentence) for query in benchmark.queries} | set(map(text_key, benchmark.without_skill))
        known |= benchmark.shared
        new = tuple(sentence for sentence in empty.get(benchmark.name, ()) if text_key(sentence) not in known)
        added.append(replace(benchmark, without_skill=benchmark.without_skill + new))
    return added


def csv_rows(path: Path) -> list[Row]:
    """Rows of a CSV as mappings.

    Raises:
        StageError: as `read_csv`.
    """
    return [row for _, row in read_csv(path)]


def _grouped(rows: Sequence[Row], where: str) -> BenchmarkFile:
    if not rows:
        raise StageError(f"{where} holds no row")
    columns = set(rows[0])
    if {"sentence", "label"} <= columns:
        pairs = [(_sentence(row, n, where), str(row["label"] or "")) for n, row in enumerate(rows, 1)]
    elif {"sentence", "relevant", "skill"} <= columns:
        pairs = [
            (_sentence(row, n, where), str(row["skill"] or "") if _is_true(row) else _NO_LABEL)
            for n, row in enumerate(rows, 1)
        ]
    elif {"sentence", "skills"} <= columns:
        pairs = [
            (_sentence(row, n, where), skill)
            for n, row in enumerate(rows, 1)
            for skill in _listed(row["skills"], f"{where} row {n}")
        ]
    else:
        found = ", ".join(sorted(columns))
        raise StageError(f"{where} has no columns 'sentence' and 'label' (found: {found})")
    return group_rows(pairs, where)


def _sentence(row: Row, number: int, where: str) -> str:
    """The sentence of a row; `datasets` reads cells such as "NA" as nothing, so there may be none."""
    if not str(row["sentence"] or "").strip():
        raise StageError(f"{where} row {number}: there is no sentence")
    return str(row["sentence"])


def _listed(skills: object, where: str) -> list[str]:
    found = list_in(skills) if isinstance(skills, str) else skills
    if not isinstance(found, list) or not all(isinstance(skill, str) for skill in found):
        raise StageError(f"{where}: column 'skills' is not a list of labels: {skills!r}")
    return [_NO_LABEL if skill == _SKILLSKAPE_UNKNOWN else skill for skill in found] or [_NO_LABEL]


def _is_true(row: Row) -> bool:
    return str(row["relevant"]).strip().lower() in ("true", "1", "1.0", "yes")


def _name_of(path: Path) -> str:
    """TECH for tech_test.csv; for a bare split such as skillskape/dev.csv, the folder's name and the split."""
    stem = path.stem
    for split in (*SPLITS, "train", "dev"):
        if stem == split:
            return f"{path.resolve().parent.name}-{split}".upper()
        stem = stem.removesuffix(f"_{split}")
    return stem.upper()
