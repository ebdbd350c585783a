"""Tokenised texts go to the encoder in batches of like length, and come back each with its own tokens."""

from dataclasses import dataclass

import numpy as np
import pytest

import token_batches
from token_batches import batches_by_length, read_spans, span_vectors


@dataclass
class Encoded:
    ids: list[int]


def texts_of(*lengths):
    """Text number i holds the token 100 i + 1, 100 i + 2, and so on."""
    return [Encoded([100 * i + j + 1 for j in range(length)]) for i, length in enumerate(lengths)]


def run(batch):
    """Each token's vector is (its number, 1), and so that padding shows, a text's is the sum over the mask."""
    tokens = np.stack([batch.ids, np.ones_like(batch.ids)], axis=2).astype(np.float32)
    return (tokens * batch.mask[:, :, None]).sum(axis=1), tokens


def test_short_texts_first_and_padding_masked():
    (numbers, batch), *others = batches_by_length(texts_of(3, 1, 2), padding_id=7)
    assert (numbers, others) == ([1, 2, 0], [])
    assert batch.ids.tolist() == [[101, 7, 7], [201, 202, 7], [1, 2, 3]]
    assert batch.mask.tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert batch.ids.dtype == batch.mask.dtype == np.int64


def test_a_batch_holds_few_texts_and_few_tokens(monkeypatch):
    monkeypatch.setattr(token_batches, "MOST_TEXTS", 3)
    monkeypatch.setattr(token_batches, "MOST_TOKENS", 8)
    batches = list(batches_by_length(texts_of(9, 1, 1, 1, 1, 4, 4, 5), padding_id=0))
    assert [numbers for numbers, _ in batches] == [[1, 2, 3], [4, 5], [6], [7], [0]]
    # A text longer than a whole batch has one of its own.
    assert [batch.ids.size for _, batch in batches] == [3, 8, 4, 5, 9]


def test_every_text_gets_its_own_vectors(monkeypatch):
    monkeypatch.setattr(token_batches, "MOST_TEXTS", 2)
    lengths = [3, 1, 2, 5, 1]
    found = {
        i: (vector.tolist(), tokens[:, 0].tolist())
        for batch in read_spans(texts_of(*lengths), 0, run)
        for i, vector, tokens in zip(batch.numbers, batch.vectors, batch.tokens, strict=True)
    }
    for i, text in enumerate(texts_of(*lengths)):
        assert found[i] == ([sum(text.ids), len(text.ids)], text.ids)


def test_vectors_in_the_order_of_the_texts(monkeypatch):
    monkeypatch.setattr(token_batches, "MOST_TEXTS", 2)
    vectors = span_vectors(lambda texts: read_spans(texts_of(*map(len, texts)), 0, run), ["ccc", "a", "bb"])
    assert vectors[:, 1].tolist() == [3, 1, 2]


@pytest.mark.parametrize("lengths", [[], [0], [0, 2]])
def test_nothing_to_read(lengths):
    """A tokenizer without marks of its own makes no token of an empty text."""
    batches = list(read_spans(texts_of(*lengths), 0, run))
    assert sorted(i for batch in batches for i in batch.numbers) == list(range(len(lengths)))
    assert [len(tokens) for batch in batches for tokens in batch.tokens] == lengths
