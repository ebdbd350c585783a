"""Distant supervision: sentences that hold a skill's name word for word."""

import dataclasses
import gzip
from pathlib import Path

import pytest

from dataset_builder.contract import StageError
from tests.tiny_encoder import tiny_esco
from training.literal_matches import match_literally, read_sentences


def test_literal_matches_are_whole_words():
    """`bake bread` stands in the first and, as an alternative label, in the second; `teach law` is not `teach laws`."""
    esco = tiny_esco()
    sentences = ["You bake bread.", "TO BAKE BREAD, daily", "We teach laws", "To weld steel you bake bread"]
    found = [(match.sentence, match.labels) for match in match_literally(sentences, esco)]
    assert found == [
        ("You bake bread.", ("bake bread",)),
        ("TO BAKE BREAD, daily", ("bake bread",)),
        ("To weld steel you bake bread", ("weld steel", "bake bread")),
    ]


def test_names_of_several_skills_match_nothing():
    first, second, *rest = tiny_esco().skills
    twins = (
        dataclasses.replace(first, alternative_labels=("oven work",)),
        dataclasses.replace(second, alternative_labels=("oven work",)),
    )
    esco = dataclasses.replace(tiny_esco(), skills=(*twins, *rest))
    assert list(match_literally(["We do oven work"], esco)) == []


def test_sentences_are_read(tmp_path: Path):
    path = tmp_path / "sentences.txt"
    path.write_text("one\n\n two \n")
    assert read_sentences(path) == ["one", "two"]
    with pytest.raises(StageError, match="does not exist"):
        read_sentences(tmp_path / "absent.txt")
    (tmp_path / "bad.gz").write_text("no gzip")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"one\ntwo\n" * 1000)[:-20])
    for name in ("bad.gz", "cut.gz"):
        with pytest.raises(StageError, match="is not text"):
            read_sentences(tmp_path / name)
