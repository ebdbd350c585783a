"""Tokenised texts go to the encoder in batches of like length, and come back each with its own tokens."""

from dataclasses import dataclass

import numpy as np
import pytest

import token_batches
from token_batches import batches_by_length, read_spans, span_vectors


@dataclass
class Encoded:
    ids: list[int]


def tokenise(texts):
    """A token a letter; its number is the letter's place in the alphabet."""
    return [Encoded([ord(letter) - ord("a") + 1 for letter in text]) for text in texts]


def run(batch):
    """Each token's vector is (its number, 1), and so that padding shows, a text's is the sum over the mask."""
    tokens = np.stack([batch.ids, np.ones_like(batch.ids)], axis=2).astype(np.float32)
    return (tokens * batch.mask[:, :, None]).sum(axis=1), tokens


def test_short_texts_first_and_padding_masked():
    (batch,) = batches_by_length(["abc", "d", "ef"], tokenise, padding_id=7)
    assert batch.numbers == [1, 2, 0]
    assert batch.ids.tolist() == [[4, 7, 7], [5, 6, 7], [1, 2, 3]]
    assert batch.mask.tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert batch.ids.dtype == batch.mask.dtype == np.int64
    assert [encoding.ids for encoding in batch.encodings] == [[4], [5, 6], [1, 2, 3]]


def test_a_batch_holds_few_texts_and_few_tokens(monkeypatch):
    monkeypatch.setattr(token_batches, "MOST_TEXTS", 3)
    monkeypatch.setattr(token_batches, "MOST_TOKENS", 8)
    texts = ["a" * length for length in (9, 1, 1, 1, 1, 4, 4, 5)]
    batches = list(batches_by_length(texts, tokenise, padding_id=0))
    assert [batch.numbers for batch in batches] == [[1, 2, 3], [4, 5], [6], [7], [0]]
    # A text longer than a whole batch has one of its own.
    assert [batch.ids.size for batch in batches] == [3, 8, 4, 5, 9]


def test_never_all_texts_are_tokenised_at_once(monkeypatch):
    """Parts of texts of like length, and within a part the fewest tokens first, whatever the letters."""
    monkeypatch.setattr(token_batches, "TOKENISED_AT_ONCE", 2)
    asked = []

    def without_spaces(texts):
        asked.append(texts)
        return tokenise([text.replace(" ", "") for text in texts])

    batches = list(batches_by_length(["abcdefg", "a    ", "bc", "def"], without_spaces, padding_id=0))
    assert asked == [["bc", "def"], ["a    ", "abcdefg"]]
    assert [batch.numbers for batch in batches] == [[2, 3], [1, 0]]
    assert [batch.ids.shape for batch in batches] == [(2, 3), (2, 7)]


@pytest.mark.parametrize("at_once", [2, 100])
def test_every_text_gets_its_own_vectors(monkeypatch, at_once):
    monkeypatch.setattr(token_batches, "MOST_TEXTS", 2)
    monkeypatch.setattr(token_batches, "TOKENISED_AT_ONCE", at_once)
    texts = ["abc", "d", "ef", "ghijk", "l"]
    found = {
        i: (vector.tolist(), tokens[:, 0].tolist())
        for batch in read_spans(texts, tokenise, 0, run)
        for i, vector, tokens in zip(batch.numbers, batch.vectors, batch.tokens, strict=True)
    }
    for i, encoded in enumerate(tokenise(texts)):
        assert found[i] == ([sum(encoded.ids), len(encoded.ids)], encoded.ids)


def test_vectors_in_the_order_of_the_texts(monkeypatch):
    monkeypatch.setattr(token_batches, "MOST_TEXTS", 2)
    vectors = span_vectors(lambda texts: read_spans(texts, tokenise, 0, run), ["ccc", "a", "bb"])
    assert vectors[:, 1].tolist() == [3, 1, 2]


@pytest.mark.parametrize("texts", [[], [""], ["", "ab"]])
def test_nothing_to_read(texts):
    """A tokenizer without marks of its own makes no token of an empty text."""
    batches = list(read_spans(texts, tokenise, 0, run))
    assert sorted(i for batch in batches for i in batch.numbers) == list(range(len(texts)))
    assert [len(tokens) for batch in batches for tokens in batch.tokens] == [len(text) for text in texts]
