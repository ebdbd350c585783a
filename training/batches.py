"""Pairs -> batches: which pairs stand together in which epoch, and their texts as tokens with the skills' ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch.utils.data import BatchSampler, Dataset

from training.augmentation import Augmenter
from training.label_space import LabelSpace

# How `label` tensors speak of skills; ids are 0 and up.
PAD = -1


SkillIds = TypeVar("SkillIds", int, torch.Tensor)


def ignored(skill: SkillIds) -> SkillIds:
    """Code of a skill, or codes of skills, that are no positive of a text and must be no negative of it either."""
    return -2 - skill


@dataclass(frozen=True)
class Example:
    """One pair of one epoch, augmented.

    `known` are ids of skills the text asks for beside its own; `near` are ids that are neither positive nor negative.
    """

    text: str
    skill: int
    negatives: tuple[int, ...]
    known: tuple[int, ...]
    near: tuple[int, ...]


class EpochBatches(BatchSampler):  # type: ignore[misc]
    """Batches of (epoch, position): shuffled anew in every epoch from the seed and the epoch alone.

    The epoch travels with the position, so that prefetching, workers and a resume in the middle of an epoch cannot
    mix up epochs.
    """

    def __init__(self, pairs: int, batch_size: int, seed: int, drop_last: bool = False) -> None:
        self.pairs = pairs
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.seed = seed
        self.epoch = 0
        self.sampler = range(pairs)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration shuffles for."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:  # type: ignore[override]
        generator = torch.Generator().manual_seed(hash((self.seed, self.epoch)) % 2**63)
        order: list[int] = torch.randperm(self.pairs, generator=generator).tolist()
        for start in range(0, self.pairs, self.batch_size):
            batch = order[start : start + self.batch_size]
            if len(batch) == self.batch_size or not self.drop_last:
                yield [(self.epoch, position) for position in batch]

    def __len__(self) -> int:
        whole, rest = divmod(self.pairs, self.batch_size)
        return whole + (1 if rest and not self.drop_last else 0)


class StageExamples(Dataset[Example]):  # type: ignore[misc]
    """The examples of one stage, indexed by (epoch, position).

    Args:
        augmenter: holds the pairs.
        near: ids, by id, of the skills that must not be a skill's negatives (linked in ESCO, or nearly the same).
        negatives: (epoch, position, skill, others known to be asked for) -> ids of hard negatives, as many for every
            pair.
        mask_joined: whether the joined sentences' skills are known to be asked for.
    """

    def __init__(
        self,
        augmenter: Augmenter,
        near: Mapping[int, Sequence[int]] | None = None,
        negatives: Callable[[int, int, int, Sequence[int]], tuple[int, ...]] | None = None,
        mask_joined: bool = True,
    ) -> None:
        self.augmenter = augmenter
        self.near = near or {}
        self.negatives = negatives
        self.mask_joined = mask_joined
        self.joined_are_positives = augmenter.augmentation.joined_labels_are_positives

    def __len__(self) -> int:
        return len(self.augmenter.pairs)

    def __getitem__(self, index: tuple[int, int]) -> Example:
        epoch, position = index
        pair = self.augmenter.pairs[position]
        augmented = self.augmenter.apply(epoch, position)
        joined = augmented.joined_skills if self.mask_joined or self.joined_are_positives else ()
        own = (*pair.skills, *joined) if self.joined_are_positives else pair.skills
        asked = dict.fromkeys([pair.skill, *pair.skills, *joined])
        near = dict.fromkeys(other for skill in asked for other in self.near.get(skill, ()))
        if not self.joined_are_positives:
            near.update(dict.fromkeys(joined))
        known = tuple(skill for skill in dict.fromkeys(own) if skill != pair.skill)
        return Example(
            text=augmented.text,
            skill=pair.skill,
            negatives=self.negatives(epoch, position, pair.skill, known) if self.negatives else (),
            known=known,
            near=tuple(skill for skill in near if skill != pair.skill and skill not in known),
        )


class PairCollator:
    """Examples -> a batch as SentenceTransformerTrainer takes it.

    The batch has `anchor_*`, `positive_*` and `negative_N_*` token tensors, and `label`: an int64 tensor of shape
    (batch, 1 + negatives + known) with the own skill's id, the hard negatives' ids, then the known skills' ids and
    the ignored skills' codes, padded by PAD. Rows are sorted by the anchor's length, longest last, so that a loss that
    embeds them chunk by chunk pads little; the order of rows within a batch does not change an in-batch loss.
    """

    valid_label_columns = ("label",)

    def __init__(self, preprocess: Callable[[list[str]], dict[str, Any]], labels: LabelSpace) -> None:
        self.preprocess = preprocess
        self.labels = labels

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Collate."""
        examples = sorted(examples, key=lambda example: len(example.text))
        columns = {"anchor": [example.text for example in examples]}
        columns["positive"] = [self.labels.labels[example.skill] for example in examples]
        for number in range(len(examples[0].negatives)):
            names = [self.labels.labels[example.negatives[number]] for example in examples]
            columns[f"negative_{number + 1}"] = names
        batch: dict[str, Any] = {}
        for column, texts in columns.items():
            for key, value in self.preprocess(texts).items():
                batch[f"{column}_{key}"] = value
        batch["label"] = skills_tensor(examples)
        return batch


def skills_tensor(examples: Sequence[Example]) -> torch.Tensor:
    """Ids of a batch as PairCollator describes them: int64 of shape (batch, widest row)."""
    rows = [
        [example.skill, *example.negatives, *example.known, *(ignored(skill) for skill in example.near)]
        for example in examples
    ]
    width = max(len(row) for row in rows)
    return torch.tensor([row + [PAD] * (width - len(row)) for row in rows], dtype=torch.int64)
