"""Values per query -> bootstrap intervals, paired tests between systems, and correction for several comparisons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eval.results import Estimate

SAMPLES = 10_000
SEED = 20230720
CONFIDENCE = 0.95
_ROWS_AT_ONCE = 1_000

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PairedDifference:
    """How two systems differ on the same queries: mean of (second - first), its interval and a two-sided p-value."""

    difference: float
    low: float
    high: float
    p_value: float


def estimates(values: Values, samples: int = SAMPLES, seed: int = SEED) -> list[Estimate]:
    """Mean and 95% percentile bootstrap interval of each column (Efron 1979).

    Args:
        values: (queries, metrics); the same draws of queries serve every column.
        samples: bootstrap samples.
        seed: of the draws.

    Raises:
        ValueError: not 2-D, or no query.
    """
    if values.ndim != 2 or len(values) == 0:
        raise ValueError(f"values must be (queries, metrics) with a query at least, got shape {values.shape}")
    means = np.concatenate([draws @ values / len(values) for draws in _draws(len(values), samples, seed)])
    low, high = np.quantile(means, _tails(), axis=0)
    return [
        Estimate(value=float(value), low=float(bottom), high=float(top))
        for value, bottom, top in zip(values.mean(axis=0), low, high, strict=True)
    ]


def paired_difference(first: Values, second: Values, samples: int = SAMPLES, seed: int = SEED) -> PairedDifference:
    """Compare two systems on the same queries.

    The interval is the paired bootstrap's; the p-value is that of the sign-flip permutation test (Fisher 1935), with
    the observed labelling counted among the samples, so it is never 0 (Phipson & Smyth 2010).

    Args:
        first: (queries,) values of one system.
        second: (queries,) values of the other, in the same order.
        samples: bootstrap samples and permutations.
        seed: of both.

    Raises:
        ValueError: not two 1-D arrays of one length, or no query.
    """
    if first.ndim != 1 or first.shape != second.shape or len(first) == 0:
        raise ValueError(f"both need the same queries, got shapes {first.shape} and {second.shape}")
    differences = second - first
    observed = float(differences.mean())
    means = np.concatenate([draws @ differences for draws in _draws(len(first), samples, seed)]) / len(first)
    low, high = np.quantile(means, _tails())
    # Differences are multiples of small fractions, so equal sums may differ in the last bits.
    bound = abs(observed) * len(first) - 1e-9
    extreme = sum(
        int(np.count_nonzero(np.abs(signs @ differences) >= bound)) for signs in _signs(len(first), samples, seed)
    )
    return PairedDifference(observed, float(low), float(high), (extreme + 1) / (samples + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for several comparisons by Holm's step-down method (Holm 1979), in the order given."""
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for step, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - step) * p_values[place]))
        corrected[place] = highest
    return corrected


def _draws(queries: int, samples: int, seed: int) -> Iterator[Values]:
    """How often each query is drawn, in blocks of (samples, queries)."""
    generator = np.random.default_rng(seed)
    for start in range(0, samples, _ROWS_AT_ONCE):
        rows = min(_ROWS_AT_ONCE, samples - start)
        chosen = generator.integers(queries, size=(rows, queries))
        offsets = np.arange(rows)[:, None] * queries
        counts = np.bincount((chosen + offsets).ravel(), minlength=rows * queries)
        yield counts.reshape(rows, queries).astype(np.float64)


def _signs(queries: int, samples: int, seed: int) -> Iterator[Values]:
    generator = np.random.default_rng(seed)
    for start in range(0, samples, _ROWS_AT_ONCE):
        rows = min(_ROWS_AT_ONCE, samples - start)
        yield generator.choice(np.array([-1.0, 1.0]), size=(rows, queries))


def _tails() -> tuple[float, float]:
    return (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
