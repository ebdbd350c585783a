"""Sentences against benchmark sentences: exact and near copies must not be trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rapidfuzz import fuzz, process

from dataset_builder.benchmark_files import read_benchmark_file
from dataset_builder.contract import StageError
from dataset_builder.filters import Report, normal_form
from dataset_builder.sentences import Sentence
from dataset_builder.words import words_of

NEAR_SCORE = 85.0
MIN_NEAR_WORDS = 4
BLOCK = 2_000
EXACT_REASON = "copy of a benchmark sentence"
NEAR_REASON = "near-copy of a benchmark sentence"


def benchmark_sentences(folder: str | Path) -> list[str]:
    """Every sentence of every benchmark CSV in a folder, labelled or not, in normal form, without repeats.

    Raises:
        StageError: no folder, or no benchmark CSV in it.
    """
    paths = sorted(Path(folder).glob("*.csv"))
    if not paths:
        raise StageError(f"{folder} holds no benchmark CSV", "Give a folder of CSVs with columns sentence and label")
    found: dict[str, None] = {}
    for path in paths:
        benchmark = read_benchmark_file(path)
        for sentence in [*(query.sentence for query in benchmark.queries), *benchmark.without_skill]:
            found[normal_form(sentence)] = None
    return [sentence for sentence in found if sentence]


def drop_benchmark_copies(sentences: Sequence[Sentence], benchmark: Sequence[str], report: Report) -> list[Sentence]:
    """The sentences that are no copies (see `copies_of`); the others are counted in the report."""
    kept = []
    for sentence, reason in zip(sentences, copies_of([one.text for one in sentences], benchmark), strict=True):
        if reason is None:
            kept.append(sentence)
        else:
            report.reject(reason, sentence, shown=False)
    return kept


def copies_of(texts: Sequence[str], benchmark: Sequence[str]) -> list[str | None]:
    """Of each text: EXACT_REASON, NEAR_REASON where its characters agree by NEAR_SCORE of 100, or None.

    Agreement is rapidfuzz's ratio: 100 x (1 - insertions and deletions / both lengths). Very short sentences count
    only as exact copies: any two lines of three words look alike.

    Args:
        texts: any texts.
        benchmark: sentences as `benchmark_sentences` gives them.
    """
    exact = set(benchmark)
    near = [sentence for sentence in benchmark if is_long_enough(sentence)]
    reasons: list[str | None] = []
    for start in range(0, len(texts), BLOCK):
        forms = [normal_form(text) for text in texts[start : start + BLOCK]]
        for form, score in zip(forms, _highest_scores(forms, near), strict=True):
            if form in exact:
                reasons.append(EXACT_REASON)
            elif is_long_enough(form) and score >= NEAR_SCORE:
                reasons.append(NEAR_REASON)
            else:
                reasons.append(None)
    return reasons


def is_long_enough(text: str) -> bool:
    """Whether a text has so many words that likeness to another says something."""
    return len(words_of(text)) >= MIN_NEAR_WORDS


def _highest_scores(forms: Sequence[str], near: Sequence[str]) -> list[float]:
    if not near:
        return [0.0] * len(forms)
    scores = process.cdist(forms, near, scorer=fuzz.ratio, score_cutoff=NEAR_SCORE, dtype=np.uint8, workers=-1)
    return [float(score) for score in scores.max(axis=1)]
