"""Scores -> what a threshold keeps: precision, recall, F1, calibration, and how sentences without skills are rejected.

A threshold keeps, of the ten best labels of a sentence, those that score at least as high. Gold is partial in TECH and
HOUSE, so precision is a lower bound. Choose a threshold on validation, then report it on test.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from eval.label_space import SkillNames
from eval.ranking import Floats, Rankings
from eval.results import CalibrationBin, ThresholdPoint, ThresholdResult

SUGGESTIONS = 10
POINTS = 21
BINS = 10

Numbers = npt.NDArray[np.float64]


def measure_thresholds(
    rankings: Rankings,
    gold: Sequence[Collection[str]],
    names: SkillNames,
    scores_without_skill: Floats,
    chosen: float | None = None,
) -> ThresholdResult:
    """Measure thresholds: half of them at quantiles of the suggestions' scores, half evenly between the extremes.

    Args:
        rankings: of the sentences with skills.
        gold: their gold labels, one collection a sentence.
        names: the label space.
        scores_without_skill: (n, k) scores of sentences without any skill, best first; n may be 0.
        chosen: a threshold to measure on its own, such as the best one on validation.
    """
    scores = rankings.top_scores[:, :SUGGESTIONS].astype(np.float64)
    right = np.array(
        [
            # Of several skills with one label the first counts, as in the ranks: a gold label is found once.
            [names.labels[place] in labels and names.position[names.labels[place]] == place for place in places]
            for places, labels in zip(rankings.top[:, :SUGGESTIONS], gold, strict=True)
        ]
    )
    wanted = sum(len(labels) for labels in gold)
    best_without = scores_without_skill[:, 0].astype(np.float64) if len(scores_without_skill) else np.empty(0)
    levels = np.unique(
        [*np.quantile(scores, np.linspace(0, 1, POINTS)), *np.linspace(scores.min(), scores.max(), POINTS)]
    )
    points = [threshold_point(float(level), scores, right, wanted, best_without) for level in levels]
    return ThresholdResult(
        sentences_with_skill=len(scores),
        sentences_without_skill=len(best_without),
        suggestions_a_sentence=scores.shape[1],
        points=points,
        best=max(points, key=lambda point: point.f1),
        calibration=calibration(scores[:, 0], right[:, 0]),
        auroc=auroc(scores[:, 0], best_without) if len(best_without) else None,
        accepted_at_95_recall=accepted_at(0.95, scores[:, 0], best_without) if len(best_without) else None,
        chosen=None if chosen is None else threshold_point(chosen, scores, right, wanted, best_without),
    )


def threshold_point(
    threshold: float, scores: Numbers, right: npt.NDArray[np.bool_], wanted: int, best_without: Numbers
) -> ThresholdPoint:
    """What one threshold keeps; `wanted` is the number of gold labels. Precision of nothing kept is 1."""
    kept = scores >= threshold
    hits = int((kept & right).sum())
    precision = hits / int(kept.sum()) if kept.any() else 1.0
    recall = hits / wanted
    return ThresholdPoint(
        threshold=threshold,
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / (precision + recall) if hits else 0.0,
        rejected=float((best_without < threshold).mean()) if len(best_without) else None,
    )


def calibration(best_scores: Numbers, right: npt.NDArray[np.bool_]) -> list[CalibrationBin]:
    """Best suggestions in bins of about equal size by score: does a higher score mean more often right?"""
    order = np.argsort(best_scores, kind="stable")
    return [
        CalibrationBin(
            low=float(best_scores[part].min()),
            high=float(best_scores[part].max()),
            suggestions=len(part),
            mean_score=float(best_scores[part].mean()),
            right=float(right[part].mean()),
        )
        for part in np.array_split(order, min(BINS, len(order)))
    ]


def auroc(with_skill: Numbers, without_skill: Numbers) -> float:
    """Chance that a sentence with skills scores higher than one without, ties counting half (Mann & Whitney 1947)."""
    ordered = np.sort(without_skill)
    below = np.searchsorted(ordered, with_skill, side="left")
    not_above = np.searchsorted(ordered, with_skill, side="right")
    return float((below + not_above).mean() / (2 * len(without_skill)))


def accepted_at(recall: float, with_skill: Numbers, without_skill: Numbers) -> float:
    """Share of sentences without skills that pass the highest threshold which keeps `recall` of those with skills."""
    ordered = np.sort(with_skill)[::-1]
    threshold = ordered[int(np.ceil(recall * len(ordered))) - 1]
    return float((without_skill >= threshold).mean())
