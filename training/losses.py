"""Losses that sentence-transformers lacks: in-batch negatives without false ones, several positives, token matching.

A batch is `features` (token tensors of anchor, positive and hard negatives) and `labels`, the skills' ids as
training.batches.PairCollator lays them out. Scores are cosines times `scale`, which is 1 / temperature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from sentence_transformers.base.losses import CachedLossMixin
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MatryoshkaLoss,
    MultipleNegativesRankingLoss,
)
from sentence_transformers.util import all_gather, all_gather_with_grad, cos_sim, get_rank, get_world_size
from torch import Tensor, nn
from torch.nn import functional

from dataset_builder.contract import StageError
from training.batches import PAD, ignored
from training.label_memory import LabelMemory, no_negatives
from training.recipe import Loss

Features = dict[str, Any]


def make_loss(model: Any, loss: Loss, chunk_size: int = 0, memory: LabelMemory | None = None) -> nn.Module:
    """The loss module that a recipe names; negatives are gathered across processes where there are several.

    Args:
        model: a SentenceTransformer.
        loss: the recipe's loss.
        chunk_size: anchors embedded at a time, each chunk padded to its own longest; 0 embeds all at once. The result
            is the same, but for which values dropout drops.
        memory: all labels, for a loss that takes them as negatives.

    Raises:
        StageError: a Matryoshka size that the encoder has not.
    """
    width = model.get_embedding_dimension() if loss.matryoshka else 0
    wrong = [size for size in loss.matryoshka if size > width]
    if wrong:
        raise StageError(f"matryoshka sizes {wrong} are more than the encoder's {width} dimensions")
    if loss.by_tokens:
        return TokenMatchLoss(model, loss, chunk_size)
    if loss.name == "masked_mnrl":
        return MaskedRankingLoss(model, loss, chunk_size, memory)
    directions = ("query_to_doc", "doc_to_query") if loss.symmetric else ("query_to_doc",)
    options = {"scale": loss.scale, "directions": directions, "gather_across_devices": get_world_size() > 1}
    if loss.symmetric:
        options["partition_mode"] = "per_direction"
    inner: nn.Module
    if loss.mini_batch:
        inner = CachedMultipleNegativesRankingLoss(model, mini_batch_size=loss.mini_batch, **options)
    else:
        inner = MultipleNegativesRankingLoss(model, **options)
    return MatryoshkaLoss(model, inner, list(loss.matryoshka)) if loss.matryoshka else inner


@dataclass(frozen=True)
class BatchSkills:
    """Which candidate labels of a batch are what to which anchor.

    Candidates are all positives, then all first hard negatives, and so on. `own`: (anchors,) column of an anchor's own
    positive. `positive`: (anchors, candidates) whether the anchor asks for the candidate's skill, its own among them.
    `dropped`: (anchors, candidates) whether the candidate is neither positive nor negative.
    """

    own: Tensor
    positive: Tensor
    dropped: Tensor


def read_skills(labels: Tensor, negatives: int, mask_same: bool = True) -> BatchSkills:
    """Tell positives, negatives and the rest apart from skill ids.

    Args:
        labels: int64 (anchors, 1 + negatives + known), as training.batches.skills_tensor makes them.
        negatives: hard negatives an anchor.
        mask_same: whether labels that the anchor is known to ask for are kept from being its negatives; without it
            only a pair's own positive counts.
    """
    anchors = labels.shape[0]
    own = torch.arange(anchors, device=labels.device)
    candidates = labels[:, : 1 + negatives].T.reshape(-1)
    asked = torch.cat([labels[:, :1], labels[:, 1 + negatives :]], dim=1)
    positive = (asked[:, :, None] == candidates[None, None, :]).any(dim=1)
    dropped = (asked[:, :, None] == ignored(candidates)[None, None, :]).any(dim=1) & ~positive
    only_own = torch.zeros_like(positive)
    only_own[own, own] = True
    return BatchSkills(own, positive if mask_same else only_own, dropped)


def ranking_loss(scores: Tensor, skills: BatchSkills, several_positives: bool = False) -> Tensor:
    """Cross-entropy of the own positive against the negatives, averaged over anchors.

    With s the scores, N(i) the negatives of anchor i and P(i) its positives:

        one positive:       L_i = -s_ii + log(exp s_ii + sum over n in N(i) of exp s_in)
        several positives:  L_i = mean over p in P(i) of -s_ip + log(exp s_ip + sum over n in N(i) of exp s_in)

    The first is InfoNCE (van den Oord et al. 2018, arXiv 1807.03748, equation 4) without false negatives; the second
    is the outer form of SupCon (Khosla et al. 2020, arXiv 2004.11362, equation 2) with the other positives left out of
    the denominator.

    Args:
        scores: (anchors, candidates), already scaled.
        skills: what each candidate is to each anchor.
        several_positives: which of the two.
    """
    negative = ~(skills.positive | skills.dropped)
    rows = torch.arange(scores.shape[0], device=scores.device)
    against = torch.logsumexp(scores.masked_fill(~negative, -torch.inf), dim=1)
    if not several_positives:
        own = scores[rows, skills.own]
        return (torch.logaddexp(own, against) - own).mean()
    each = torch.logaddexp(scores, against[:, None]) - scores
    return ((each * skills.positive).sum(dim=1) / skills.positive.sum(dim=1)).mean()


class MaskedRankingLoss(CachedLossMixin, nn.Module):  # type: ignore[misc]
    """In-batch negatives without false ones; optionally several positives, both directions, Matryoshka, cached.

    Args:
        model: a SentenceTransformer.
        loss: scale and options. `symmetric` averages the loss of sentences over labels and of labels over sentences;
            `matryoshka` adds up the losses of the embeddings cut to each of these sizes (Kusupati et al. 2022, arXiv
            2205.13147, equation 1); `mini_batch` caches gradients (Gao et al. 2021, arXiv 2101.06983).
        chunk_size: anchors embedded at a time.
        memory: remembered embeddings of all labels: negatives of every sentence, beside those of the batch.
    """

    def __init__(self, model: Any, loss: Loss, chunk_size: int = 0, memory: LabelMemory | None = None) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self.chunk_size = chunk_size
        self.memory = memory
        self.mini_batch_size = loss.mini_batch
        self.uses_gradient_cache = loss.mini_batch > 0

    def forward(self, features: Iterable[Features], labels: Tensor) -> Tensor:
        """Loss of a batch, a scalar."""
        columns = list(features)
        if self.uses_gradient_cache:
            return cast(Tensor, self.forward_cached(columns, labels))
        anchors = torch.cat(
            [out["sentence_embedding"] for out in chunk_outputs(self.model, columns[0], self.chunk_size)]
        )
        return self.loss_of([anchors, *(self.model(column)["sentence_embedding"] for column in columns[1:])], labels)

    def calculate_loss(self, reps: list[list[Tensor]], labels: Tensor, *, with_backward: bool = False) -> Tensor:
        """The hook that gradient caching calls, with embeddings by column and mini-batch."""
        loss = self.loss_of([torch.cat(parts) for parts in reps], labels)
        if with_backward:
            loss.backward()  # type: ignore[no-untyped-call]
            loss = loss.detach()
        return loss

    def loss_of(self, embeddings: list[Tensor], labels: Tensor) -> Tensor:
        """Loss from embeddings: anchors, positives, hard negatives, each (batch, dimensions)."""
        local = embeddings[0].shape[0]
        first = get_rank() * local
        here = torch.arange(first, first + local, device=labels.device)
        everywhere = [gather(embedding) for embedding in embeddings]
        negatives, all_labels = len(embeddings) - 2, gather_skills(labels)
        skills = read_skills(all_labels, negatives, "same_skill" in self.loss.mask)
        candidates = everywhere[1:]
        if self.memory is not None:
            remembered = self.memory.embeddings().to(embeddings[0].dtype)
            candidates.append(remembered)
            left_out = no_negatives(all_labels, negatives, len(remembered)) | self.memory.never.to(labels.device)
            never = torch.zeros_like(left_out)
            skills = BatchSkills(
                skills.own, torch.cat([skills.positive, never], 1), torch.cat([skills.dropped, left_out], 1)
            )
        total = embeddings[0].new_zeros(())
        for size in self.loss.matryoshka or (embeddings[0].shape[1],):
            unit = [functional.normalize(embedding[:, :size], dim=1) for embedding in [everywhere[0], *candidates]]
            total = total + self._one_size(unit, skills, here)
        return total

    def _one_size(self, unit: list[Tensor], skills: BatchSkills, here: Tensor) -> Tensor:
        scores = self.loss.scale * unit[0][here] @ torch.cat(unit[1:]).T
        seen = BatchSkills(skills.own[here], skills.positive[here], skills.dropped[here])
        loss = ranking_loss(scores, seen, self.loss.several_positives)
        if not self.loss.symmetric:
            return loss
        back = self.loss.scale * unit[1][here] @ unit[0].T
        turned = BatchSkills(skills.own[here], skills.positive.T[here], skills.dropped.T[here])
        return (loss + ranking_loss(back, turned, self.loss.several_positives)) / 2


class TokenMatchLoss(nn.Module):  # type: ignore[misc]
    """In-batch negatives over ConTeXT-match's token-level score; a label stays one vector.

    `token_and_cosine` adds the loss of the plain cosines, so that the model ranks well both ways.

    Args:
        model: a SentenceTransformer whose modules leave `token_embeddings` in their output.
        loss: name, scale, masks, several_positives.
        chunk_size: anchors embedded at a time.
    """

    def __init__(self, model: Any, loss: Loss, chunk_size: int = 0) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self.chunk_size = chunk_size

    def forward(self, features: Iterable[Features], labels: Tensor) -> Tensor:
        """Loss of a batch, a scalar."""
        columns = list(features)
        outputs = chunk_outputs(self.model, columns[0], self.chunk_size)
        candidates = torch.cat([gather(self.model(column)["sentence_embedding"]) for column in columns[1:]])
        here = torch.arange(labels.shape[0], device=labels.device) + get_rank() * labels.shape[0]
        every = read_skills(gather_skills(labels), len(columns) - 2, "same_skill" in self.loss.mask)
        skills = BatchSkills(every.own[here], every.positive[here], every.dropped[here])

        def loss_of(scores: list[Tensor]) -> Tensor:
            return ranking_loss(self.loss.scale * torch.cat(scores), skills, self.loss.several_positives)

        loss = loss_of(
            [token_match_scores(out["token_embeddings"], out["attention_mask"], candidates) for out in outputs]
        )
        if self.loss.name == "token_and_cosine":
            loss = loss + loss_of([cos_sim(out["sentence_embedding"], candidates) for out in outputs])
        return loss


def token_match_scores(tokens: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
    """ConTeXT-match's score of sentences and labels.

    With h_1..h_L a sentence's tokens and s a label's vector: a = softmax over i of <h_i, s>, over real tokens;
    score = sum over i of a_i cos(h_i, s).

    Args:
        tokens: (sentences, length, dimensions), as the encoder leaves them.
        mask: (sentences, length), 0 where there is no token.
        labels: (labels, dimensions), mean-pooled, not normalised.

    Returns:
        (sentences, labels), each from -1 to 1.
    """
    products = torch.einsum("tld,nd->tln", tokens, labels)
    lengths = tokens.norm(dim=2).clamp_min(1e-12)[:, :, None] * labels.norm(dim=1).clamp_min(1e-12)[None, None, :]
    attention = products.masked_fill(mask[:, :, None] == 0, -torch.inf).softmax(dim=1)
    return (attention * products / lengths).sum(dim=1)


def chunk_outputs(model: Callable[[Features], Features], features: Features, size: int) -> Sequence[Features]:
    """Run the model over chunks of rows, each cut to its own longest text.

    Rows are best sorted by length: then most chunks are much narrower than the batch.
    """
    mask = features.get("attention_mask")
    if not size or not isinstance(mask, Tensor) or mask.ndim != 2 or mask.shape[0] <= size:
        return [model(features)]
    outputs = []
    for start in range(0, mask.shape[0], size):
        rows = slice(start, start + size)
        width = int(mask[rows].sum(dim=1).max())
        if not bool(mask[rows, :width].any(dim=0).all()):
            width = mask.shape[1]  # padded on the left: nothing can be cut on the right
        cut = {key: value[rows, :width] if _is_by_token(value, mask) else value for key, value in features.items()}
        outputs.append(model(cut))
    return outputs


def _is_by_token(value: Any, mask: Tensor) -> bool:
    return isinstance(value, Tensor) and value.shape == mask.shape


def gather(embeddings: Tensor) -> Tensor:
    """Embeddings of all processes in order of rank, with gradients back to where they came from."""
    return all_gather_with_grad(embeddings) if get_world_size() > 1 else embeddings


def gather_skills(labels: Tensor) -> Tensor:
    """Skill ids of all processes in order of rank, padded to the widest."""
    if get_world_size() == 1:
        return labels
    width = torch.tensor(labels.shape[1], device=labels.device)
    torch.distributed.all_reduce(width, op=torch.distributed.ReduceOp.MAX)
    padded = functional.pad(labels, (0, int(width) - labels.shape[1]), value=PAD)
    return cast(Tensor, all_gather(padded.contiguous()))
