"""Label vectors, moved towards the sentences that carry them; the encoder's weights stay as they are.

One vector a label, a linear classifier over an encoder's fixed embeddings that starts from what the encoder says of the
label's texts: the second of the two modules of SiameseXML (Dahiya et al. 2021, ICML, PMLR 139). Here all labels are
negatives of every sentence but those that mean nearly the same as one of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Vectors = npt.NDArray[np.float32]
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class FitSettings:
    """How vectors are moved: Adam, its learning rate falling linearly to nothing over all steps.

    `scale` multiplies cosines in the softmax, as in training; a label whose start lies nearer than `near` (cosine) to
    that of a sentence's own is none of its negatives.
    """

    epochs: int = 3
    learning_rate: float = 1e-3
    scale: float = 20.0
    near: float = 0.8
    batch_size: int = 256
    seed: int = 1


def fit_labels(
    start: Vectors,
    texts: Vectors,
    gold: Sequence[Sequence[int]],
    settings: FitSettings,
    advance: Callable[[int], Any] = lambda _texts: None,
) -> Vectors:
    """Move label vectors by `label_loss`.

    Args:
        start: (labels, dimensions), of length 1.
        texts: (texts, dimensions), of length 1.
        gold: rows of each text's labels, one at least.
        settings: how.
        advance: called with the number of texts done, for a progress bar.

    Returns:
        (labels, dimensions), of length 1.
    """
    places = torch.from_numpy(texts)
    first = torch.from_numpy(start)
    near = _near(first, sorted({label for labels in gold for label in labels}), settings.near)
    weights = nn.Parameter(first.clone())
    optimiser = torch.optim.Adam([weights], lr=settings.learning_rate)
    steps = settings.epochs * -(-len(gold) // settings.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / steps)
    generator = np.random.default_rng(settings.seed)
    for _ in range(settings.epochs):
        order = generator.permutation(len(gold))
        for begin in range(0, len(order), settings.batch_size):
            batch = order[begin : begin + settings.batch_size]
            loss = label_loss(places[batch], weights, [gold[text] for text in batch], near, settings.scale)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            advance(len(batch))
    moved: Vectors = nn.functional.normalize(weights.detach(), dim=1).numpy()
    return moved


def label_loss(
    texts: Tensor, weights: Tensor, gold: Sequence[Sequence[int]], near: dict[int, list[int]], scale: float
) -> Tensor:
    """Mean over texts x of -1/|G| sum over g in G of log(exp(s cos(x, w_g)) / sum over l of exp(s cos(x, w_l))).

    G are the labels of x, and l goes over all labels but those that are near to one of G and not in G themselves.

    Args:
        texts: (texts, dimensions), of length 1.
        weights: (labels, dimensions), of any length.
        gold: rows of each text's labels, one at least.
        near: by label, the rows of labels near to it.
        scale: s.

    Returns:
        A number.
    """
    logits = scale * texts @ nn.functional.normalize(weights, dim=1).T
    own = torch.zeros_like(logits)
    left_out = torch.zeros_like(logits, dtype=torch.bool)
    for row, labels in enumerate(gold):
        for label in set(labels):
            left_out[row, near.get(label, [])] = True
            own[row, label] = 1 / len(set(labels))
    left_out &= own == 0
    shares = logits.masked_fill(left_out, -torch.inf).log_softmax(dim=1).masked_fill(left_out, 0)
    return -(own * shares).sum(dim=1).mean()


def _near(start: Tensor, labels: Sequence[int], least: float) -> dict[int, list[int]]:
    """By label, the rows of others whose cosine to it is above `least`."""
    found = {}
    for begin in range(0, len(labels), _ROWS_AT_ONCE):
        rows = labels[begin : begin + _ROWS_AT_ONCE]
        for label, alike in zip(rows, start[rows] @ start.T > least, strict=True):
            found[label] = [place for place in alike.nonzero()[:, 0].tolist() if place != label]
    return found
