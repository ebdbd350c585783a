"""Near-duplicates under their best: as by comparing each with each, and in time for texts made of names alone."""

import random
import time
from dataclasses import replace

import numpy as np
import pytest

from skill_index import Skill, SkillIndex
from skill_match import (
    SAME_ANYWHERE,
    Evidence,
    SkillMatch,
    are_opposites,
    closeness,
    merge_near_duplicates,
    pairs_of_same,
)


def index_of(vectors) -> SkillIndex:
    vectors = np.array(vectors, np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return SkillIndex(tuple(Skill(str(i), f"skill {i}") for i in range(len(vectors))), vectors, "test")


def match(number: int, places) -> SkillMatch:
    evidence = tuple(Evidence(start, end, 1.0) for start, end in places)
    return SkillMatch(f"skill {number}", str(number), "", 1.0 - number / 1e6, evidence)


def each_with_each(matches, index) -> dict[str, tuple[str, ...]]:
    """Label of what stays -> labels under it, by the definition: the first better one that overlaps and is close."""
    kept: dict[int, list[int]] = {}
    for i, one in enumerate(matches):
        for j in kept:
            overlap = any(a.start < b.end and b.start < a.end for a in matches[j].evidence for b in one.evidence)
            if overlap and float(index.vectors[j] @ index.vectors[i]) >= SAME_ANYWHERE:
                kept[j].append(i)
                break
        else:
            kept[i] = []
    return {matches[i].label: tuple(matches[j].label for j in under) for i, under in kept.items()}


def test_the_same_as_each_with_each():
    chance = random.Random(7)
    merged = 0
    for _ in range(60):
        count = chance.randint(1, 12)
        index = index_of([[chance.gauss(2, 1), chance.gauss(1, 1)] for _ in range(count)])
        matches = []
        for number in range(count):
            starts = [chance.randint(0, 30) for _ in range(chance.randint(1, 4))]
            matches.append(match(number, [(start, start + chance.randint(1, 6)) for start in starts]))
        expected = each_with_each(matches, index)
        assert {one.label: one.similar for one in merge_near_duplicates(matches, index)} == expected
        merged += count - len(expected)
    assert merged > 50


def test_touching_places_do_not_overlap():
    index = index_of([[1, 0], [1, 0]])
    assert len(merge_near_duplicates([match(0, [(0, 3)]), match(1, [(3, 5)])], index)) == 2
    assert len(merge_near_duplicates([match(0, [(0, 3)]), match(1, [(2, 5)])], index)) == 1


def test_texts_made_of_names_alone_are_merged_in_time():
    """Two skills at 12,500 places each, and 5,000 skills at five places each: 25,000 places in 100 kB of text."""
    two = [match(n, [(8 * k + 4 * n, 8 * k + 4 * n + 3) for k in range(12_500)]) for n in (0, 1)]
    many = [match(n, [(4 * (n + 5000 * k), 4 * (n + 5000 * k) + 3) for k in range(5)]) for n in range(5000)]
    for matches in (two, many):
        started = time.process_time()
        assert len(merge_near_duplicates(matches, index_of(np.ones((len(matches), 2))))) == len(matches)
        assert time.process_time() - started < 30


def named(label: str, number: int) -> SkillMatch:
    return SkillMatch(label, str(number), "", 1.0 - number / 10, (Evidence(0, 5, 1.0),))


@pytest.mark.parametrize(
    ("one", "other", "opposite"),
    [
        ("load cargo", "unload cargo", True),
        ("perform import of commodities", "perform export of commodities", True),
        ("provide advice to import", "export and import", False),
        ("bake bread", "bake loaves", False),
    ],
)
def test_opposites_are_never_one(one, other, opposite):
    """Their vectors are equal here, so that anything else at the same place is merged."""
    index = index_of([[1, 0], [1, 0]])
    assert are_opposites(one, other) == are_opposites(other, one) == opposite
    merged = merge_near_duplicates([named(one, 0), named(other, 1)], index)
    assert len(merged) == (2 if opposite else 1)


def test_skills_of_two_texts_are_paired_as_by_comparing_each_with_each():
    """Vectors of three dimensions lie close often; a name under another's counts, and opposites are never one."""
    chance = np.random.default_rng(5)
    index = index_of(chance.normal(size=(40, 3)))
    ours, theirs = ([match(number, []) for number in numbers] for numbers in (range(30), range(10, 40)))
    close = [(a.uri, b.uri) for a in ours for b in theirs if closeness(a, b, index) >= SAME_ANYWHERE]
    assert [(a.uri, b.uri) for a, b in pairs_of_same(ours, theirs, index)] == close
    assert len(ours) < len(close) < len(ours) * len(theirs) / 2
    assert list(pairs_of_same(ours, [], index)) == list(pairs_of_same([], theirs, index)) == []
    apart = index_of([[1, 0], [0, 1], [1, 0.01]])
    under = replace(match(1, []), similar=("skill 0",))
    assert list(pairs_of_same([match(0, [])], [under], apart)) == [(match(0, []), under)]
    loading, unloading = (replace(match(i, []), label=name) for i, name in ((0, "load cargo"), (2, "unload cargo")))
    assert list(pairs_of_same([loading], [unloading], apart)) == []


def test_texts_made_of_names_alone_are_compared_in_time():
    """As many skills as a text of 100,000 characters shows: 20 million pairs, 14 microseconds each one by one."""
    index = index_of(np.random.default_rng(3).normal(size=(4500, 384)))
    matches = [match(number, []) for number in range(4500)]
    started = time.process_time()
    assert len(list(pairs_of_same(matches, matches, index))) == 4500
    assert time.process_time() - started < 20
