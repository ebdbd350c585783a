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
        self._known: dict[tuple[str, int, int], bool] = {}

    def __call__(self, pairs: Sequence[TrainingPair], most: int) -> list[bool]:
        """Whether each pair's skill is among the `most` labels nearest to its text; known pairs are not asked again."""
        from sentence_transformers.util import semantic_search

        keys = [(pair.text, pair.skill, min(most, len(self._labels))) for pair in pairs]
        fresh = [key for key in dict.fromkeys(keys) if key not in self._known]
        if fresh:
            texts = embed_texts(self._encoder, [text for text, _, _ in fresh], self._precision)
            hits = semantic_search(texts, self._label_embeddings, top_k=min(most, len(self._labels)))
            for key, found in zip(fresh, hits, strict=True):
                self._known[key] = any(hit["corpus_id"] == key[1] for hit in found)
        return [self._known[key] for key in keys]

    @cached_property
    def _encoder(self) -> Any:
        return open_encoder(self._folder).eval()

    @cached_property
    def _label_embeddings(self) -> Any:
        return embed_texts(self._encoder, self._labels, self._precision)
