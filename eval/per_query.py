"""What a system answered to each query <-> JSONL with the ten best labels and the ranks of the gold labels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_builder.contract import StageError, write_atomically
from eval.benchmarks import Benchmark
from eval.label_space import SkillNames
from eval.query_metrics import values_of
from eval.ranking import Rankings
from eval.relations import Relations

SHOWN = 10
MISSED_BELOW = 5


@dataclass(frozen=True)
class QueryResult:
    """One query: its gold labels with their ranks (None for a label the label space lacks) and the best answers.

    `top_kinds` says how each answer stands to the gold: see eval.relations.
    """

    benchmark: str
    sentence: str
    gold: tuple[str, ...]
    gold_ranks: tuple[int | None, ...]
    top: tuple[str, ...]
    top_scores: tuple[float, ...]
    top_kinds: tuple[str, ...]
    rp_at_5: float


def query_results(benchmark: Benchmark, rankings: Rankings, names: SkillNames) -> list[QueryResult]:
    """One result a query, in file order."""
    values = values_of(rankings.gold_ranks, "rp@5")
    relations = Relations(names)
    results = []
    for position, query in enumerate(benchmark.queries):
        places = [int(place) for place in rankings.top[position, :SHOWN]]
        ranked = zip(query.labels, rankings.gold_ranks[position], strict=True)
        missed = [label for label, rank in ranked if rank is None or rank > MISSED_BELOW]
        results.append(
            QueryResult(
                benchmark=benchmark.name,
                sentence=query.sentence,
                gold=query.labels,
                gold_ranks=rankings.gold_ranks[position],
                top=tuple(names.labels[place] for place in places),
                top_scores=tuple(round(float(score), 4) for score in rankings.top_scores[position, :SHOWN]),
                top_kinds=tuple(relations.kind_of(place, query, missed) for place in places),
                rp_at_5=float(values[position]),
            )
        )
    return results


def write_per_query(path: str | Path, results: Iterable[QueryResult]) -> None:
    """Write one JSON object a line, whole or not at all."""
    lines = [json.dumps(vars(result), ensure_ascii=False) for result in results]
    write_atomically(path, "".join(f"{line}\n" for line in lines))


def read_per_query(path: str | Path) -> list[QueryResult]:
    """Read what `write_per_query` wrote.

    Raises:
        StageError: no such file, or not of this shape.
    """
    path = Path(path)
    if not path.is_file():
        raise StageError(f"{path} does not exist", "Write it with eval.score_model --per-query FILE.jsonl")
    results = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line:
            continue
        try:
            results.append(QueryResult(**{name: _tuple(value) for name, value in json.loads(line).items()}))
        except (json.JSONDecodeError, TypeError, AttributeError) as error:
            raise StageError(f"{path} line {number}: not a query result ({error})") from None
    if not results:
        raise StageError(f"{path} holds no query")
    return results


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
