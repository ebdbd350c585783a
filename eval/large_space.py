"""A made-up label space of any size -> how long scoring against it takes, and the memory beyond its embeddings.

`python -m eval.bench --large-space 1000000` shows it. Vectors are random; everything else is the code that scores a
real model: batches, cosine, blocks, ranks, thresholds.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np

from dataset_builder.benchmark_files import GoldSentence
from dataset_builder.contract import StageError, Strict
from eval.benchmarks import Benchmark
from eval.encoders import EncoderOptions, cosine_system
from eval.label_space import SkillNames
from eval.measure import measure
from eval.ranking import Floats

LABELS = 1_000_000
DIMENSIONS = 384
QUERIES = 100
ENCODED_AT_ONCE = 4_096


class LargeSpace(Strict):
    """What scoring against a large label space took; memory is what Python and numpy asked for at the worst moment."""

    labels: int
    dimensions: int
    queries: int
    embeddings_bytes: int
    bytes_beyond_embeddings: int
    index_seconds: float
    score_seconds: float
    rp_at_5: float


class MadeUpModel:
    """Gives each number, written as text, a random vector of its own; stands in for a SentenceTransformer."""

    tokenizer = None

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions

    def encode_document(self, texts: Sequence[str], **_options: Any) -> Floats:
        """Vectors of `texts`: (texts, dimensions), of different lengths, so that cosine has to divide."""
        # A million generators would take a minute: each vector is two of 4,096 random rows, added.
        rows = np.random.default_rng(0).standard_normal((4_096, self.dimensions), dtype=np.float32)
        numbers = np.array([int(text) for text in texts])
        return np.asarray(rows[numbers % 4_096] + 2 * rows[numbers // 4_096], dtype=np.float32)

    encode_query = encode_document


def measure_large_space(labels: int = LABELS, dimensions: int = DIMENSIONS, queries: int = QUERIES) -> LargeSpace:
    """Score `queries` sentences against `labels` labels, each sentence having the vector of its one gold label.

    Raises:
        StageError: fewer labels than queries, or more than 4,096 squared.
    """
    check_sizes(labels, dimensions, queries)
    names = SkillNames(labels=tuple(map(str, range(labels))), source="made up", version="0")
    gold = [GoldSentence(str(place), (str(place),)) for place in range(0, labels, labels // queries)][:queries]
    benchmark = Benchmark("MADE UP", "test", tuple(gold), (), queries, 0, "")
    system = cosine_system("made up", MadeUpModel(dimensions), EncoderOptions(batch_size=ENCODED_AT_ONCE))
    tracemalloc.start()
    try:
        started = time.perf_counter()
        system.index(names)
        indexed = time.perf_counter()
        result = measure(system, benchmark, names, samples=100).result
        scored = time.perf_counter()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    embeddings = labels * dimensions * 4
    return LargeSpace(
        labels=labels,
        dimensions=dimensions,
        queries=queries,
        embeddings_bytes=embeddings,
        bytes_beyond_embeddings=peak - embeddings,
        index_seconds=indexed - started,
        score_seconds=scored - indexed,
        rp_at_5=result.metrics["rp@5"].value,
    )


def check_sizes(labels: int, dimensions: int = DIMENSIONS, queries: int = QUERIES) -> None:
    """Refuse a label space that cannot be made up.

    Raises:
        StageError: fewer labels than queries, or more than 4,096 squared.
    """
    if not 0 < queries <= labels <= 4_096**2 or dimensions < 1:
        raise StageError(f"{queries:,} queries over {labels:,} labels of {dimensions} dimensions cannot be made up")


def as_line(space: LargeSpace) -> str:
    """One line for the terminal."""
    return (
        f"{space.labels:,} labels of {space.dimensions} dimensions ({space.embeddings_bytes / 1e9:.2f} GB): "
        f"{space.queries} queries in {space.score_seconds:.1f} s, "
        f"{space.bytes_beyond_embeddings / 1e9:.2f} GB beyond the embeddings"
    )
