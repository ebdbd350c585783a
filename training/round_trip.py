"""A training pair -> does a stock encoder find its skill again? Round-trip consistency of synthetic sentences.

An LLM asked for a sentence about a skill often writes one that any of a hundred skills could have asked for. Keeping
the pairs whose skill is among the nearest to the text is the filter of Dai et al. 2022 (Promptagator, arXiv 2209.11755,
section 3.2).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from dataset_builder.contract import sha256_of_lines, write_atomically
from training.base_model import embed_texts, open_encoder
from training.pair_sources import TrainingPair


class RoundTrip:
    """Ranks the label space by cosine with a stock encoder, opened when it is first asked.

    Args:
        folder: the encoder's.
        labels: the label space.
        precision: a recipe's; bf16 halves the time and moves few pairs at the edge.
        weights_sha256: of the encoder, part of the name under which answers are kept.
        kept_in: folder where answers are kept, so that a run that goes on embeds nothing again; None keeps none.
    """

    def __init__(
        self,
        folder: Path,
        labels: Sequence[str],
        precision: str = "auto",
        weights_sha256: str = "",
        kept_in: Path | None = None,
    ) -> None:
        self._folder = folder
        self._labels = labels
        self._precision = precision
        name = sha256_of_lines([weights_sha256, precision, *labels])
        self._file = kept_in / f"round_trip-{name[:16]}.json" if kept_in else None
        self._known: dict[str, bool] = _read(self._file)

    def __call__(self, pairs: Sequence[TrainingPair], most: int) -> list[bool]:
        """Whether each pair's skill is among the `most` labels nearest to its text; known pairs are not asked again."""
        from sentence_transformers.util import semantic_search

        most = min(most, len(self._labels))
        keys = [_key(pair, most) for pair in pairs]
        fresh = {key: pair for key, pair in zip(keys, pairs, strict=True) if key not in self._known}
        if fresh:
            texts = embed_texts(self._encoder, [pair.text for pair in fresh.values()], self._precision)
            hits = semantic_search(texts, self._label_embeddings, top_k=most)
            for (key, pair), found in zip(fresh.items(), hits, strict=True):
                self._known[key] = any(hit["corpus_id"] == pair.skill for hit in found)
            if self._file:
                write_atomically(self._file, json.dumps(self._known))
        return [self._known[key] for key in keys]

    @cached_property
    def _encoder(self) -> Any:
        return open_encoder(self._folder).eval()

    @cached_property
    def _label_embeddings(self) -> Any:
        return embed_texts(self._encoder, self._labels, self._precision)


def _key(pair: TrainingPair, most: int) -> str:
    """Names one question: is this skill among the `most` labels nearest to this text?"""
    return hashlib.sha256(f"{most}\t{pair.skill}\t{pair.text}".encode()).hexdigest()[:32]


def _read(file: Path | None) -> dict[str, bool]:
    """Answers of an earlier run; none where there is no such file, or one that cannot be read."""
    try:
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file else {}
    except (OSError, ValueError, TypeError):
        return {}
