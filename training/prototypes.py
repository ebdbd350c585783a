"""Skill names that also say what their skills' other names and sentences say: each name is moved to a prototype.

Ranking goes by one vector a skill, that of its name, and a name of two words says less than ESCO's other names of the
skill and sentences that ask for it. A skill's prototype is its name's vector with a part of the means of these, after
the class means of Snell et al. 2017 (arXiv 1703.05175, section 2.2). The encoder learns to give it for the name alone,
and to leave every other text where it was, so that nothing but names is embedded when it is used.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional

from dataset_builder.contract import write_atomically
from training.base_model import embed_texts
from training.losses import Features, chunk_outputs
from training.pair_sources import TrainingPair
from training.recipe import PROTOTYPE_SOURCES

# Of the mean of one source's texts, beside 1 for the name; chosen on validation, with the share in training.recipe.
SOURCE_WEIGHT = 0.3
# Of what keeps the texts' vectors, and as much of what keeps their tokens', beside 1 for the names.
KEEP_WEIGHT = 0.5
FILE = "prototypes.safetensors"


class PrototypeLoss(nn.Module):  # type: ignore[misc]
    """Names go to their prototypes, texts stay. Without dropout: both are to be met exactly.

    With n a pair's name by the trained encoder and p its skill's prototype, v its text's vector and h_1..h_L its
    tokens' by the trained encoder, and v', h' those by the encoder that the stage began with:

        loss = |n - p|^2 / |p|^2 + w |v - v'|^2 / |v'|^2 + w mean over i of |h_i - h'_i|^2 / |h'_i|^2

    averaged over the batch, w = `KEEP_WEIGHT`.

    Args:
        model: a SentenceTransformer whose modules leave `token_embeddings` in their output.
        start: the encoder that the stage began with; it is frozen.
        prototypes: float32 (labels, dimensions), as `prototypes_of` gives them.
        chunk_size: texts embedded at a time.
    """

    def __init__(self, model: Any, start: Any, prototypes: Tensor, chunk_size: int = 0) -> None:
        super().__init__()
        self.model = model
        self.chunk_size = chunk_size
        # In a tuple, so that the trainer takes it for no part of what it trains.
        self._start = (start.eval().requires_grad_(False),)
        self._prototypes = prototypes

    def forward(self, features: Iterable[Features], labels: Tensor) -> Tensor:
        """Loss of a batch, a scalar; `labels` are int64 (pairs, 1 + known), the own skill's id first."""
        texts, names = list(features)
        was_training = self.model.training
        self.model.eval()
        try:
            found = self.model(dict(names))["sentence_embedding"].float()
            now = chunk_outputs(self.model, dict(texts), self.chunk_size)
        finally:
            self.model.train(was_training)
        start = self._start[0].to(found.device)
        with torch.no_grad():
            before = chunk_outputs(start, dict(texts), self.chunk_size)
        wanted = self._prototypes.to(found.device)[labels[:, 0]]
        moved, tokens = [], []
        for new, old in zip(now, before, strict=True):
            real = new["attention_mask"].bool()
            moved.append(relative_error(new["sentence_embedding"], old["sentence_embedding"]))
            tokens.append(relative_error(new["token_embeddings"][real], old["token_embeddings"][real]))
        kept = torch.cat(moved).mean() + torch.cat(tokens).mean()
        return relative_error(found, wanted).mean() + KEEP_WEIGHT * kept


def relative_error(found: Tensor, wanted: Tensor) -> Tensor:
    """Squared distance by the squared length of what is wanted: (rows, dimensions) twice -> (rows,)."""
    found, wanted = found.float(), wanted.float()
    return (found - wanted).square().sum(dim=1) / wanted.square().sum(dim=1).clamp_min(1e-12)


def read_or_make_prototypes(
    start: Any, labels: Sequence[str], pairs: Sequence[TrainingPair], precision: str, folder: Path
) -> Tensor:
    """The prototypes of a stage: read where an interrupted run left them, else made, and kept in its folder.

    Args:
        start: the encoder that the stage begins with.
        labels: the label space; a skill's id is its position.
        pairs: the stage's.
        precision: the recipe's.
        folder: the stage's.
    """
    file = folder / FILE
    if file.is_file():
        return load_file(file)["prototypes"]
    prototypes = prototypes_of(start, labels, pairs, precision)
    write_atomically(file, save({"prototypes": prototypes}))
    return prototypes


def prototypes_of(
    encoder: Any, labels: Sequence[str], pairs: Sequence[TrainingPair], precision: str = "auto"
) -> Tensor:
    """Each skill's prototype: its name's direction with `SOURCE_WEIGHT` of the mean direction of every source's texts.

    p = |n| u(u(n) + w * sum over sources of the mean of u(t) over the source's texts t of the skill), with u(x) = x/|x|
    and n the name's vector; a source without a text of the skill adds nothing. `PROTOTYPE_SOURCES` alone count.

    Args:
        encoder: a SentenceTransformer without normalisation.
        labels: the label space; a skill's id is its position.
        pairs: the texts and their skills.
        precision: auto, bf16 or fp32.

    Returns:
        float32 (labels, dimensions), on the CPU.
    """
    names = embed_texts(encoder, labels, precision, normalise=False).cpu()
    total = functional.normalize(names, dim=1)
    by_source: dict[str, list[TrainingPair]] = defaultdict(list)
    for pair in pairs:
        if pair.source in PROTOTYPE_SOURCES:
            by_source[pair.source].append(pair)
    for those in by_source.values():
        texts = embed_texts(encoder, [pair.text for pair in those], precision).cpu()
        skills = torch.tensor([pair.skill for pair in those])
        sums = torch.zeros_like(total).index_add_(0, skills, texts)
        counts = torch.zeros(len(labels)).index_add_(0, skills, torch.ones(len(those)))
        total = total + SOURCE_WEIGHT * sums / counts.clamp_min(1)[:, None]
    return functional.normalize(total, dim=1) * names.norm(dim=1, keepdim=True)
