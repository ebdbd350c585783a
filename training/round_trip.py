"""A training pair -> does a stock encoder find its skill again? Round-trip consistency of synthetic sentences.

An LLM asked for a sentence about a skill often writes one that any of a hundred skills could have asked for. Keeping
the pairs whose skill is among the nearest to the text is the filter of Dai et al. 2022 (Promptagator, arXiv 2209.11755,
section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from training.base_model import embed_texts, open_encoder
from training.pairs import TrainingPair


class RoundTrip:
    """Ranks the label space by cosine with a stock encoder, opened when it is first asked.

    Args:
        folder: the encoder's.
        labels: the label space.
        precision: a recipe's; bf16 halves the time and moves few pairs at the edge.
    """

    def __init__(self, folder: Path, labels: Sequence[str], precision: str = "auto") -> None:
        self._folder = folder
        self._labels = labels
        self._precision = precision

    def __call__(self, pairs: Sequence[TrainingPair], most: int) -> list[bool]:
        """Whether each pair's skill is among the `most` labels nearest to its text."""
        from sentence_transformers.util import semantic_search

        if not pairs:
            return []
        most = min(most, len(self._labels))
        texts = embed_texts(self._encoder, [pair.text for pair in pairs], self._precision)
        hits = semantic_search(texts, self._label_embeddings, top_k=most)
        return [any(hit["corpus_id"] == pair.skill for hit in found) for pair, found in zip(pairs, hits, strict=True)]

    @cached_property
    def _encoder(self) -> Any:
        return open_encoder(self._folder).eval()

    @cached_property
    def _label_embeddings(self) -> Any:
        return embed_texts(self._encoder, self._labels, self._precision)
