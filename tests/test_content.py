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
ADS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((DATA / "ads").glob("*.json"))}
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


def test_twenty_ads_of_different_trades():
    """20 ads with 332 labelled skills in all, and 113 passages that ask for none."""
    assert len(ADS) == len({ad["title"] for ad in ADS.values()}) == 20
    assert sum(len(ad["skills"]) for ad in ADS.values()) == 332
    assert sum(len(ad["no_skill_passages"]) for ad in ADS.values()) == 113


@pytest.mark.parametrize("name", ADS)
def test_ad_is_labelled_with_exact_substrings(name: str):
    ad = ADS[name]
    assert set(ad) == {"title", "text", "skills", "no_skill_passages"}
    assert 120 <= len(ad["text"].split()) <= 300
    assert len(ad["skills"]) >= 10
    assert len(ad["no_skill_passages"]) >= 4
    for evidence in [skill["evidence"] for skill in ad["skills"]] + ad["no_skill_passages"]:
        assert evidence == evidence.strip()
        assert ad["text"].count(evidence) >= 1, evidence


@pytest.mark.parametrize("name", ADS)
def test_labels_look_like_preferred_labels(name: str):
    """ESCO writes labels without outer spaces and full stops, each evidence has a label at most once."""
    seen = set()
    for skill in ADS[name]["skills"]:
        assert set(skill) == {"label", "evidence", "also"}
        labels = [skill["label"], *skill["also"]]
        assert len(set(labels)) == len(labels)
        assert all(label and label == label.strip() and not label.endswith(".") for label in labels)
        assert (skill["label"], skill["evidence"]) not in seen
        seen.add((skill["label"], skill["evidence"]))


@pytest.mark.parametrize("name", ADS)
def test_no_skill_is_asked_for_where_none_is(name: str):
    text = ADS[name]["text"]
    for passage in ADS[name]["no_skill_passages"]:
        start = text.index(passage)
        for skill in ADS[name]["skills"]:
            at = text.index(skill["evidence"])
            assert at + len(skill["evidence"]) <= start or at >= start + len(passage), (passage, skill)
