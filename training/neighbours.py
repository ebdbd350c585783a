"""ESCO and a stock encoder -> skills too close to be negatives, and skills close enough to be hard ones.

Everything is by id in the label space: skill -> other skills.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from dataset_builder.contract import StageError
from dataset_builder.esco import EscoRelease
from training.label_space import LabelSpace

SkillLinks = dict[int, tuple[int, ...]]
BLOCK = 1024


def linked_skills(esco: EscoRelease, labels: LabelSpace) -> SkillLinks:
    """Skills joined to a skill by one step in ESCO: broader, narrower or related, in both directions."""
    ids = labels.ids_by_uri
    found: dict[int, dict[int, None]] = defaultdict(dict)
    for links in (esco.broader, esco.related):
        for uri, others in links.items():
            for other in others:
                if uri in ids and other in ids and ids[uri] != ids[other]:
                    found[ids[uri]][ids[other]] = None
                    found[ids[other]][ids[uri]] = None
    return {skill: tuple(others) for skill, others in found.items()}


def siblings(esco: EscoRelease, labels: LabelSpace) -> SkillLinks:
    """Skills that share a parent (a skill or a group) with a skill, without those linked to it directly."""
    ids = labels.ids_by_uri
    children: dict[str, list[int]] = defaultdict(list)
    for uri, parents in esco.broader.items():
        if uri in ids:
            for parent in parents:
                children[parent].append(ids[uri])
    linked = linked_skills(esco, labels)
    found: dict[int, dict[int, None]] = defaultdict(dict)
    for group in children.values():
        for skill in group:
            near = linked.get(skill, ())
            found[skill].update(dict.fromkeys(other for other in group if other != skill and other not in near))
    return {skill: tuple(others) for skill, others in found.items() if others}


def near_skills(embeddings: np.ndarray, threshold: float) -> SkillLinks:
    """Skills whose labels' cosine is at least `threshold`.

    Args:
        embeddings: (skills, dimensions), L2-normalised.
        threshold: cosine.
    """
    found: SkillLinks = {}
    for start in range(0, len(embeddings), BLOCK):
        cosines = embeddings[start : start + BLOCK] @ embeddings.T
        for row, column in zip(*np.nonzero(cosines >= threshold), strict=True):
            skill, other = start + int(row), int(column)
            if skill != other:
                found[skill] = (*found.get(skill, ()), other)
    return found


def nearest_skills(embeddings: np.ndarray, count: int, skip: int = 0) -> SkillLinks:
    """The `count` nearest skills of each, nearest first, after skipping the `skip` nearest, which may mean the same.

    Args:
        embeddings: (skills, dimensions), L2-normalised.
        count: how many.
        skip: how many of the nearest are left out.
    """
    found: SkillLinks = {}
    wanted = min(count + skip, len(embeddings) - 1)
    for start in range(0, len(embeddings), BLOCK):
        cosines = embeddings[start : start + BLOCK] @ embeddings.T
        cosines[np.arange(len(cosines)), np.arange(start, start + len(cosines))] = -np.inf
        order = np.argsort(-cosines, axis=1, kind="stable")[:, skip:wanted]
        found.update({start + row: tuple(map(int, others)) for row, others in enumerate(order)})
    return found


def merged(*links: Mapping[int, Sequence[int]]) -> SkillLinks:
    """All links together, each once."""
    found: dict[int, dict[int, None]] = defaultdict(dict)
    for one in links:
        for skill, others in one.items():
            found[skill].update(dict.fromkeys(others))
    return {skill: tuple(others) for skill, others in found.items()}


class HardNegatives:
    """Draws hard negatives for a pair, anew in every epoch, from (seed, epoch, position) alone.

    Args:
        pools: skill -> the skills that may be drawn.
        excluded: skill -> skills that may not, because they are linked to it or mean nearly the same.
        count: how many a pair; where a pool is too small, random skills fill up.
        skills: size of the label space.
        seed: the run's.
        never: skills that are nobody's negatives.

    Raises:
        StageError: there are no pools at all, or too few skills.
    """

    def __init__(
        self,
        pools: SkillLinks,
        excluded: Mapping[int, Sequence[int]],
        count: int,
        skills: int,
        seed: int,
        never: Collection[int] = (),
    ) -> None:
        if not pools:
            raise StageError(
                "no skill has a hard negative to draw", "Does --esco hold broaderRelationsSkillPillar.csv?"
            )
        if skills - len(never) <= count:
            raise StageError(f"{count} hard negatives cannot be drawn from {skills} skills")
        self._pools = {
            skill: tuple(other for other in pool if other not in excluded.get(skill, ()) and other not in never)
            for skill, pool in pools.items()
        }
        self._excluded = {skill: frozenset(others) for skill, others in excluded.items()}
        self._count = count
        self._skills = skills
        self._seed = seed
        self._never = frozenset(never)

    def __call__(self, epoch: int, position: int, skill: int, known: Sequence[int] = ()) -> tuple[int, ...]:
        """Ids of the hard negatives of the pair at `position`, whose skill is `skill`; `known` are others it asks for.

        Raises:
            StageError: the pair asks for nearly all skills that there are.
        """
        draw = random.Random(f"{self._seed}:{epoch}:{position}:negatives")
        pool = [other for other in self._pools.get(skill, ()) if other not in known]
        chosen = draw.sample(pool, min(self._count, len(pool)))
        asked = {skill, *chosen, *known, *self._never}
        barred = {*asked, *self._excluded.get(skill, ())}
        if len(barred) + self._count - len(chosen) > self._skills:
            barred = asked  # nearly everything is excluded: better a doubtful negative than none
        if len(barred) + self._count - len(chosen) > self._skills:
            raise StageError(f"{self._count} hard negatives cannot be drawn for a text that asks for {1 + len(known)}")
        while len(chosen) < self._count:
            other = draw.randrange(self._skills)
            if other not in barred:
                barred.add(other)
                chosen.append(other)
        return tuple(chosen)
