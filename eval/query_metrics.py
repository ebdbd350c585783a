"""Ranks of the gold labels of each query -> RP@k, MRR, hit@k, recall@k and nDCG of each query.

Every metric follows from the ranks alone, so results.json keeps the ranks and any of them can be counted again.
A gold label that the label space lacks has no rank (None) and stays in every denominator.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ranks = Sequence[int | None]
Values = npt.NDArray[np.float64]

CUTOFFS = (1, 3, 5, 10)
MAIN_METRICS = ("rp@5", "mrr")


def r_precision(ranks: Ranks, k: int) -> float:
    """RP@k = gold labels in the first k / min(k, gold labels), Decorte et al. 2023 (arXiv 2307.10778), section 4."""
    return _hits(ranks, k) / min(k, len(ranks))


def reciprocal_rank(ranks: Ranks) -> float:
    """1 / rank of the first gold label in the whole ranking; 0 where the label space has none of them."""
    found = [rank for rank in ranks if rank is not None]
    return 1 / min(found) if found else 0.0


def hit(ranks: Ranks, k: int) -> float:
    """1 where a gold label is in the first k."""
    return float(_hits(ranks, k) > 0)


def recall(ranks: Ranks, k: int) -> float:
    """Share of the gold labels in the first k."""
    return _hits(ranks, k) / len(ranks)


def ndcg(ranks: Ranks, k: int) -> float:
    """nDCG@k, gain 1, discount log2(rank + 1), over the best that k places allow (Järvelin & Kekäläinen 2002)."""
    gained = sum(1 / np.log2(rank + 1) for rank in ranks if rank is not None and rank <= k)
    best = sum(1 / np.log2(rank + 1) for rank in range(1, min(k, len(ranks)) + 1))
    return float(gained / best)


def metric_names() -> list[str]:
    """All metrics in table order."""
    at_k = [f"{name}@{k}" for name in ("rp", "hit", "recall", "ndcg") for k in CUTOFFS]
    return [*at_k[: len(CUTOFFS)], "mrr", *at_k[len(CUTOFFS) :]]


def values_of(gold_ranks: Sequence[Ranks], metric: str) -> Values:
    """Values of one metric, one a query: (queries,) in [0, 1].

    Args:
        gold_ranks: the ranks of the gold labels of each query, none of them empty.
        metric: "mrr", or "rp@5", "hit@1", "recall@10", "ndcg@3" and the like with any k.

    Raises:
        ValueError: an unknown metric, a cut-off below 1, or a query without gold labels.
    """
    for position, ranks in enumerate(gold_ranks):
        if not ranks:
            raise ValueError(f"query {position} has no gold label")
    if metric == "mrr":
        return np.array([reciprocal_rank(ranks) for ranks in gold_ranks])
    name, _, cutoff = metric.partition("@")
    functions = {"rp": r_precision, "hit": hit, "recall": recall, "ndcg": ndcg}
    if name not in functions or not cutoff.isdigit() or int(cutoff) < 1:
        raise ValueError(f"unknown metric {metric!r}; known are mrr and {', '.join(f'{name}@K' for name in functions)}")
    return np.array([functions[name](ranks, int(cutoff)) for ranks in gold_ranks])


def ranks_as_text(gold_ranks: Sequence[Ranks]) -> list[str]:
    """One line a query for results.json: ranks with spaces between, `-` for a label that the label space lacks."""
    return [" ".join("-" if rank is None else str(rank) for rank in ranks) for ranks in gold_ranks]


def ranks_from_text(lines: Sequence[str]) -> list[tuple[int | None, ...]]:
    """The inverse of `ranks_as_text`."""
    return [tuple(None if part == "-" else int(part) for part in line.split()) for line in lines]


def _hits(ranks: Ranks, k: int) -> int:
    return sum(rank is not None and rank <= k for rank in ranks)
