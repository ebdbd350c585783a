"""Several EvalResults -> rows of a comparison: systems, seeds taken together, published numbers, paired tests."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dataset_builder.contract import StageError
from eval.query_metrics import Values, ranks_from_text, values_of
from eval.results import Estimate, EvalResults
from eval.significance import PairedDifference, estimates, holm, paired_difference

PUBLISHED_FILE = Path(__file__).with_name("published.json")
# The 13,891 preferred labels of ESCO 1.1.0 in English, in the order of its file.
PUBLISHED_LABEL_SPACE = "a16081b511a189e46aa9a166e809f77203a3476c78936f36cd9920a02a41d46f"


@dataclass(frozen=True)
class Entry:
    """One system of a comparison: one run, or the runs of several seeds."""

    name: str
    runs: tuple[EvalResults, ...]

    @property
    def benchmarks(self) -> list[str]:
        """Names of the benchmarks that every run scored, in the order of the first run."""
        others = [{benchmark.name for benchmark in run.benchmarks} for run in self.runs]
        return [b.name for b in self.runs[0].benchmarks if all(b.name in names for names in others)]

    def ranks(self, benchmark: str) -> list[list[tuple[int | None, ...]]]:
        """Ranks of the gold labels: runs, then queries, then labels."""
        return [ranks_from_text(b.gold_ranks) for run in self.runs for b in run.benchmarks if b.name == benchmark]

    def values(self, benchmark: str, metric: str) -> Values:
        """Values of one metric: (queries,), the mean over seeds."""
        mean: Values = np.mean([values_of(ranks, metric) for ranks in self.ranks(benchmark)], axis=0)
        return mean

    def estimate(self, benchmark: str, metric: str) -> Estimate:
        """Mean and 95% bootstrap interval over queries."""
        run = self.runs[0]
        return estimates(self.values(benchmark, metric)[:, None], run.bootstrap_samples, run.bootstrap_seed)[0]

    def spread(self, benchmark: str, metric: str) -> float | None:
        """Standard deviation over seeds (n - 1), None for a single run."""
        if len(self.runs) < 2:
            return None
        return float(np.std([values_of(ranks, metric).mean() for ranks in self.ranks(benchmark)], ddof=1))


@dataclass(frozen=True)
class Group:
    """Entries that may stand in one table: the same split and the same label space.

    `label_space` says its size and version, and its sha256 where that does not tell it from another group's;
    `as_published` names the benchmarks that are those of which numbers were published, over the same labels.
    """

    split: str
    label_space: str
    entries: tuple[Entry, ...]
    as_published: frozenset[str]

    @property
    def benchmarks(self) -> list[str]:
        """Names of all benchmarks, in order of first mention."""
        return list(dict.fromkeys(name for entry in self.entries for name in entry.benchmarks))

    def fitting(self, published: Sequence[Published]) -> list[Published]:
        """Of published numbers those that may stand in the same table; systems without any are left out."""
        fitting = [
            replace(one, scores={name: found for name, found in one.scores.items() if name in self.as_published})
            for one in published
        ]
        return [one for one in fitting if one.scores]


@dataclass(frozen=True)
class Published:
    """A system's published numbers: benchmark -> metric -> fraction. No interval can be given.

    `url` is where `source` can be read; "" where no address is known.
    """

    name: str
    size: str
    source: str
    scores: Mapping[str, Mapping[str, float]]
    url: str = ""


@dataclass(frozen=True)
class PairedTest:
    """One system against the reference on one benchmark; `corrected` is Holm's p-value over all tests of the table."""

    system: str
    reference: str
    benchmark: str
    paired: PairedDifference
    corrected: float


def read_runs(paths: Sequence[str]) -> list[EvalResults]:
    """Load results; JSON files of another kind are named on stderr and left out.

    Raises:
        StageError: no such file, or an evaluation's file that this code does not read.
    """
    runs = []
    for path in map(Path, paths):
        if path.is_file() and not _is_evaluation(path):
            print(f"left out: {path} holds no evaluation results", file=sys.stderr)
            continue
        runs.append(EvalResults.load(path))
    return runs


def group_runs(singles: Sequence[EvalResults], seeds: Mapping[str, Sequence[EvalResults]]) -> list[Group]:
    """Put what may be compared into one group each, in the order given, seeds last.

    Args:
        singles: each one an entry of its own.
        seeds: name -> the runs of its seeds, one entry together.

    Raises:
        StageError: nothing to compare, two systems of one name, benchmarks of one name over different data, or seeds
            that do not belong together.
    """
    entries = [Entry(run.system.name, (run,)) for run in singles]
    entries += [Entry(name, tuple(runs)) for name, runs in seeds.items()]
    if not entries:
        raise StageError("there are no evaluation results to compare", "Give files written by eval.score_model")
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        keys = {(run.split, run.label_space.sha256) for run in entry.runs}
        if len(keys) > 1:
            raise StageError(f"the runs of {entry.name} have different splits or label spaces")
        groups.setdefault(keys.pop(), []).append(entry)
    made = [_group(split, members) for (split, _), members in groups.items()]
    names = [(group.split, group.label_space) for group in made]
    return [
        replace(group, label_space=f"{group.label_space}, {sha256[:8]}") if names.count(name) > 1 else group
        for group, name, (_, sha256) in zip(made, names, groups, strict=True)
    ]


def _group(split: str, entries: Sequence[Entry]) -> Group:
    names = [entry.name for entry in entries]
    if again := [name for name in names if names.count(name) > 1]:
        raise StageError(f"two systems are named {again[0]!r}", "Leave one out, or score it with a --name of its own")
    data: dict[str, tuple[str, int, int]] = {}
    for run in (run for entry in entries for run in entry.runs):
        for benchmark in run.benchmarks:
            if data.setdefault(benchmark.name, benchmark.asked) != benchmark.asked:
                raise StageError(
                    f"{run.system.name} was scored on other data named {benchmark.name}",
                    "Compare runs over the same files, scored by the same version of this code",
                )
    space = entries[0].runs[0].label_space
    return Group(
        split=split,
        label_space=f"{space.size:,} skill names of ESCO {space.version}",
        entries=tuple(entries),
        as_published=frozenset(_as_published(entries) if space.sha256 == PUBLISHED_LABEL_SPACE else ()),
    )


def _as_published(entries: Sequence[Entry]) -> Iterator[str]:
    for run in (run for entry in entries for run in entry.runs):
        for one in run.benchmarks:
            if run.split == one.split == "test" and one.is_techwolfs:
                yield one.name


def read_published(path: Path = PUBLISHED_FILE) -> list[Published]:
    """Published numbers as fractions."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return [
        Published(
            system["name"],
            system["size"],
            system["source"],
            {
                benchmark: {metric: value / 100 for metric, value in scores.items()}
                for benchmark, scores in system["scores"].items()
            },
            system.get("url", ""),
        )
        for system in content["systems"]
    ]


def paired_tests(group: Group, metric: str, reference: str = "") -> list[PairedTest]:
    """Every system against the reference on every benchmark both have, corrected over all of these tests.

    Args:
        group: what is compared.
        metric: such as "rp@5".
        reference: an entry's name; the first entry when empty.

    Raises:
        StageError: no entry of that name.
    """
    names = [entry.name for entry in group.entries]
    if reference and reference not in names:
        raise StageError(f"no system is named {reference!r}", f"There are: {', '.join(names)}")
    base = group.entries[names.index(reference) if reference else 0]
    pairs = [
        (entry, benchmark, paired_difference(base.values(benchmark, metric), entry.values(benchmark, metric)))
        for entry in group.entries
        if entry is not base
        for benchmark in entry.benchmarks
        if benchmark in base.benchmarks
    ]
    corrected = holm([paired.p_value for _, _, paired in pairs])
    return [
        PairedTest(entry.name, base.name, benchmark, paired, p_value)
        for (entry, benchmark, paired), p_value in zip(pairs, corrected, strict=True)
    ]


def _is_evaluation(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return True  # EvalResults.load says what is wrong with it.
    return isinstance(content, dict) and "benchmarks" in content and "label_space" in content
