"""A recipe's `max_tokens` holds for every encoder, with a transformer or without."""

import pytest
import torch
from sentence_transformers import SentenceTransformer

from tests.tiny_encoder import write_tiny_encoder
from training.limits import cut, preprocess_of
from training.static_model import distil

TEXTS = ["we bake bread in the team and carve wood to the law", "", "you teach law"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> SentenceTransformer:
    return SentenceTransformer(str(write_tiny_encoder(tmp_path_factory.mktemp("encoder"))), device="cpu")


def test_texts_one_after_another_are_each_cut():
    """Texts of 3, 0, 2 and 1 tokens, cut at 2: 2, 0, 2 and 1, which begin at 0, 2, 2 and 4."""
    tokens = {"input_ids": torch.tensor([7, 8, 9, 4, 5, 6]), "offsets": torch.tensor([0, 3, 3, 5])}
    found = cut(tokens, 2)
    assert found["input_ids"].tolist() == [7, 8, 4, 5, 6]
    assert found["offsets"].tolist() == [0, 2, 2, 4]
    assert {name: found.tolist() for name, found in cut(tokens, 3).items()} == {
        name: value.tolist() for name, value in tokens.items()
    }


def test_a_table_sees_so_many_tokens_of_a_text(encoder: SentenceTransformer):
    """Of the twelve words the first eight: the vector is that of these words alone."""
    table = distil(encoder, 16)
    assert preprocess_of(table, 8)(TEXTS)["offsets"].tolist() == [0, 8, 8]
    short = preprocess_of(table, 64)([" ".join(TEXTS[0].split()[:8]), *TEXTS[1:]])
    assert all(torch.equal(short[name], value) for name, value in preprocess_of(table, 8)(TEXTS).items())


def test_a_transformer_sees_so_many_tokens_of_a_text(encoder: SentenceTransformer):
    assert preprocess_of(encoder, 8)(TEXTS)["input_ids"].shape == (3, 8)
    assert preprocess_of(encoder, 4096)(TEXTS)["input_ids"].shape == (3, 14)
