"""The texts that tests and page show: example ads, passages with their cuts, and ads labelled with ESCO skills."""

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parent.parent
DATA = REPO / "tests" / "data"
EXAMPLES = sorted((REPO / "space" / "examples").glob("*.txt"))
PASSAGES: list[dict[str, Any]] = json.loads((DATA / "passages.json").read_text(encoding="utf-8"))
# What may lie between two passages: white space, bullets and emoji, rules, tags, and marks that count items.
BETWEEN = re.compile(r"(?:<[^>]*>|\(?(?:\d{1,2}|[a-z]|[ivx]{1,4})[.)](?=\s)|[^\w<>()])*")


def places_of(cuts: list[str], text: str) -> list[tuple[int, int]]:
    """Offsets of exact substrings that follow each other."""
    places = []
    end = 0
    for cut in cuts:
        start = text.index(cut, end)
        end = start + len(cut)
        places.append((start, end))
    return places


def test_five_examples_of_the_length_of_real_ads():
    assert len(EXAMPLES) == 5
    for path in EXAMPLES:
        assert 150 <= len(path.read_text(encoding="utf-8").split()) <= 350, path.name


def test_at_least_thirty_texts_to_cut():
    assert len(PASSAGES) >= 30
    assert len({case["name"] for case in PASSAGES}) == len(PASSAGES)


@pytest.mark.parametrize("case", PASSAGES, ids=lambda case: case["name"])
def test_passages_cover_the_text_in_order(case: dict[str, Any]):
    for cuts in [case["passages"], *case.get("also", [])]:
        places = places_of(cuts, case["text"])
        edges = [(0, 0), *places, (len(case["text"]), len(case["text"]))]
        for (_, end), (start, _) in pairwise(edges):
            between = case["text"][end:start]
            assert BETWEEN.fullmatch(between), f"{between!r} belongs to no passage"
        assert all(cut == cut.strip() and re.search(r"\w", cut) for cut in cuts)
