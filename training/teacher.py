"""A trained encoder -> the label nearest to each text, for texts that nobody labelled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from dataset_builder.esco import EscoRelease
from training.base_model import embed_texts, open_encoder
from training.label_space import LabelSpace, label_space_of_esco

ALTERNATIVE_LABELS = 6  # of a skill, in the teacher's label vectors
ALTERNATIVE_WEIGHT = 0.5  # of their mean, beside the label's own vector
BLOCK = 2_000


class Teacher:
    """Finds the label nearest to a text by cosine. A label's vector is its own and half the mean of its alternatives'.

    Args:
        folder: a sentence-transformers folder.
        esco: the labels and their alternatives.
        precision: auto, bf16 or fp32.
    """

    def __init__(self, folder: Path, esco: EscoRelease, precision: str = "auto") -> None:
        self.labels: LabelSpace = label_space_of_esco(esco)
        self._encoder = open_encoder(folder).eval()
        self._precision = precision
        owners: list[int] = []
        others: list[str] = []
        for position, skill in enumerate(esco.skills):
            chosen = skill.alternative_labels[:ALTERNATIVE_LABELS] or (skill.label,)
            owners += [position] * len(chosen)
            others += chosen
        own = self._embed(self.labels.labels)
        sums = torch.zeros_like(own).index_add_(0, torch.tensor(owners), self._embed(others))
        means = sums / torch.bincount(torch.tensor(owners), minlength=len(own))[:, None]
        self._label_vectors = torch.nn.functional.normalize(own + ALTERNATIVE_WEIGHT * means)

    def nearest(self, texts: Sequence[str]) -> list[tuple[str, float]]:
        """(preferred label, cosine) of each text's nearest label."""
        found: list[tuple[str, float]] = []
        vectors = self._embed(texts)
        for start in range(0, len(texts), BLOCK):
            scores, positions = (vectors[start : start + BLOCK] @ self._label_vectors.T).max(dim=1)
            found += zip((self.labels.labels[one] for one in positions.tolist()), scores.tolist(), strict=True)
        return found

    def _embed(self, texts: Sequence[str]) -> torch.Tensor:
        return embed_texts(self._encoder, texts, self._precision).cpu()
