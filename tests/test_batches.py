"""Batches of like length: order kept, each text once, the plain way's vectors; and memory over a million labels."""

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from dataset_builder.contract import StageError
from eval.batches import encode_in_batches, token_counts
from eval.encoders import EncoderOptions, cosine_system
from eval.label_space import SkillNames
from eval.large_space import measure_large_space
from tests.eval_records import write_bert, write_model


def test_batches_hold_texts_of_like_length_once_each_and_keep_the_order():
    """Lengths 1 5 2 5 3 and "b" twice, batches of two: (eeeee, ddddd), (ccc, bb), (a)."""
    batches = []

    def encode(texts):
        batches.append(texts)
        return np.array([[len(text), ord(text[0])] for text in texts], dtype=np.float32)

    texts = ["a", "eeeee", "bb", "ddddd", "ccc", "bb"]
    vectors = encode_in_batches(encode, texts, np.array([len(text) for text in texts]), 2)
    assert batches == [["eeeee", "ddddd"], ["ccc", "bb"], ["a"]]
    assert vectors.tolist() == [[len(text), ord(text[0])] for text in texts]
    assert vectors.dtype == np.float32


def test_no_text_is_refused():
    with pytest.raises(ValueError, match="no texts"):
        encode_in_batches(lambda texts: np.zeros((0, 2)), [], np.array([], dtype=np.int64), 2)


def test_vectors_are_those_of_the_library(tmp_path):
    """Forty texts of one to forty letters, some twice: batches by tokens change the vectors in the last digits only."""
    model = SentenceTransformer(str(write_bert(tmp_path / "bert")), device="cpu").eval()
    texts = [" ".join("abcdefghij"[: 1 + place % 10] * 2) for place in range(0, 40)]
    names = SkillNames(labels=("a b c", "j", "d"), source="", version="")
    system = cosine_system("m", model, EncoderOptions(batch_size=7))
    system.index(names)
    vectors, labels = model.encode(texts), model.encode(list(names.labels))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels /= np.linalg.norm(labels, axis=1, keepdims=True)
    assert system.scores(texts) == pytest.approx(vectors @ labels.T, abs=1e-5)


def test_prompts_of_a_model_stand_before_its_texts(tmp_path):
    """A query prompt and a document prompt: the same as encoding the texts with them written in front."""
    model = SentenceTransformer(str(write_bert(tmp_path / "bert")), device="cpu").eval()
    model.prompts = {"query": "q q ", "document": "d "}
    system = cosine_system("m", model, EncoderOptions())
    system.index(SkillNames(labels=("a", "b"), source="", version=""))
    model.prompts = {}
    plain = cosine_system("m", model, EncoderOptions())
    plain.index(SkillNames(labels=("d a", "d b"), source="", version=""))
    expected = plain.scores(["q q x", "q q y z"])
    assert plain.scores(["x", "y z"]) != pytest.approx(expected, abs=1e-4)
    model.prompts = {"query": "q q ", "document": "d "}
    assert system.scores(["x", "y z"]) == pytest.approx(expected, abs=1e-5)


def test_tokens_are_counted_up_to_the_models_length_and_letters_where_there_are_none(tmp_path):
    """[CLS] a b [SEP] are four tokens. A static model's tokenizer pads nothing, so letters do."""
    model = SentenceTransformer(str(write_bert(tmp_path / "bert")), device="cpu")
    model.max_seq_length = 5
    assert token_counts(model, ["a b", "a", "a b c d e f"]).tolist() == [4, 3, 5]
    static = SentenceTransformer(str(write_model(tmp_path / "static")), device="cpu")
    assert token_counts(static, ["a b", "a"]).tolist() == [3, 1]


def test_a_million_labels_take_less_than_a_gigabyte_beyond_the_embeddings():
    """A copy of the embeddings, 1.02 GB, would be too much; so would a gigabyte of scores, 250 rows of a million.

    Each of the 50 sentences has the vector of its gold label, whose cosine is 1: all are found.
    """
    space = measure_large_space(labels=1_000_000, dimensions=256, queries=50)
    assert space.embeddings_bytes == 1_024_000_000
    assert space.bytes_beyond_embeddings < 1e9
    assert space.rp_at_5 == 1


def test_label_spaces_that_cannot_be_made_up_are_refused():
    with pytest.raises(StageError, match="100 queries over 10 labels"):
        measure_large_space(labels=10)
