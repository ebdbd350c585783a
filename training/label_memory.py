"""Every label of the label space as a negative: embedded now and then, and remembered between.

A batch of 64 shows a sentence 63 wrong labels of 13,891, hardly ever the ones that are easily taken for the right one.
Remembered embeddings cost no gradient, so that all labels may stand in the denominator of every step. The memory lags
behind the encoder by a few steps, which moves slowly: the same idea as the memory bank of Wu et al. 2018 (arXiv
1805.01978, section 3.2) and the cross-batch memory of Wang et al. 2020 (arXiv 1912.06798, section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

ENCODE_BATCH = 256


class LabelMemory:
    """Embeddings of all labels, made anew after so many uses.

    Args:
        model: a SentenceTransformer.
        preprocess: texts -> token tensors, as the batches are made.
        labels: the label space; a skill's id is its position.
        every: uses before the labels are embedded again.
        never: ids that are nobody's negatives: held-out skills, and labels that stand earlier in the label space too.
    """

    def __init__(
        self,
        model: Any,
        preprocess: Callable[[list[str]], dict[str, Any]],
        labels: Sequence[str],
        every: int,
        never: Iterable[int] = (),
    ) -> None:
        self.model = model
        self.preprocess = preprocess
        self.labels = list(labels)
        self.every = every
        self.never = torch.zeros(len(self.labels), dtype=torch.bool)
        self.never[list(never)] = True
        self._embeddings: Tensor | None = None
        self._uses = 0

    def embeddings(self) -> Tensor:
        """(labels, dimensions), as the encoder leaves them, without gradient."""
        if self._embeddings is None or self._uses >= self.every:
            self._embeddings, self._uses = self._embed(), 0
        self._uses += 1
        return self._embeddings

    def forget(self) -> None:
        """Embed anew at the next use: a run that resumes from here does so too, and the two stay equal."""
        self._embeddings = None

    def _embed(self) -> Tensor:
        order = sorted(range(len(self.labels)), key=lambda number: (len(self.labels[number]), number))
        was_training = self.model.training
        self.model.eval()
        parts = []
        try:
            with torch.no_grad():
                for start in range(0, len(order), ENCODE_BATCH):
                    texts = [self.labels[number] for number in order[start : start + ENCODE_BATCH]]
                    features = self.preprocess(texts)
                    on_device = {
                        key: value.to(self.model.device) if isinstance(value, Tensor) else value
                        for key, value in features.items()
                    }
                    parts.append(self.model(on_device)["sentence_embedding"].float())
        finally:
            self.model.train(was_training)
        found = torch.cat(parts)
        places = torch.empty(len(order), dtype=torch.int64, device=found.device)
        places[torch.tensor(order, device=found.device)] = torch.arange(len(order), device=found.device)
        return found[places]


def no_negatives(labels: Tensor, negatives: int, skills: int) -> Tensor:
    """Which remembered labels are no negatives of which anchor: those of its batch, which stand there with gradients,
    those that it is known to ask for, and those that a mask leaves out.

    Args:
        labels: int64 (anchors, 1 + negatives + known), as training.batches.skills_tensor makes them.
        negatives: hard negatives an anchor.
        skills: size of the label space.

    Returns:
        bool (anchors, skills).
    """
    left_out = torch.zeros(labels.shape[0], skills + 1, dtype=torch.bool, device=labels.device)
    # Codes of ignored skills are -2 - id, padding is -1: the last column takes it.
    ids = torch.where(labels < -1, -2 - labels, labels)
    left_out.scatter_(1, torch.where(ids < 0, skills, ids), True)
    left_out[:, labels[:, : 1 + negatives].reshape(-1)] = True
    return left_out[:, :skills]
