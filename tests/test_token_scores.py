"""Scores token by token in the extractor: the formula, the nearest alone, torch and ONNX, and the same as in eval."""

import json
import math
import shutil

import numpy as np
import pytest

import skill_finder
import token_scores as module
from encoders import TOKEN_SHARES, load_encoder, token_share_of
from eval.token_matching import token_matching_scores
from skill_finder import Settings, SkillFinder
from skill_index import Skill, SkillFinderError, SkillIndex, normalised
from taxonomy import encode_skills
from tests.tiny_finder import tiny_model, with_index
from token_batches import SpanBatch, span_vectors
from token_scores import NOT_NEAR, Reading, RememberingReader, SpanReader, nearest, scores_of, token_scores
from training import recipe

TEXTS = ["You bake bread in ovens", "Plan shifts", "We need SQL and much more of it than you would ever think"]
LABELS = ["bake bread", "plan shifts of employees", "SQL", "weld"]


class PlantedEncoder:
    """Every text has two tokens, (1, 0) and (0, 1), and the vector (1, 1)."""

    def __init__(self):
        self.calls = []

    def encode(self, sentences):
        return normalised(np.ones((len(sentences), 2), np.float32))

    def encode_spans(self, texts):
        self.calls.append(texts)
        numbers = list(range(len(texts)))
        yield SpanBatch(numbers, np.ones((len(texts), 2), np.float32), [np.eye(2, dtype=np.float32) for _ in texts])


def spans_of(encode_spans, texts):
    """Vectors and tokens in the order of the texts."""
    tokens = {i: one for batch in encode_spans(texts) for i, one in zip(batch.numbers, batch.tokens, strict=True)}
    return span_vectors(encode_spans, texts), [tokens[i] for i in range(len(texts))]


def index_of(vectors, lengths=None) -> SkillIndex:
    vectors = np.array(vectors, np.float32)
    skills = tuple(Skill(f"urn:{i}", f"skill {i}") for i in range(len(vectors)))
    return SkillIndex(skills, vectors, "planted", None if lengths is None else np.array(lengths, np.float32))


def test_the_score_by_hand():
    """Tokens (1, 0) and (0, 1), label (2, 0): products 2 and 0, attention e2 / (e2 + 1) = 0.880797; cosines 1 and 0."""
    assert token_scores(np.eye(2, dtype=np.float32), np.array([[2.0, 0.0]], np.float32)) == pytest.approx([0.880797])


def test_it_is_the_score_of_the_evaluation():
    chance = np.random.default_rng(0)
    tokens, labels = chance.normal(size=(7, 16)).astype(np.float32), chance.normal(size=(9, 16)).astype(np.float32)
    np.testing.assert_allclose(token_scores(tokens, labels), token_matching_scores(tokens, labels), atol=1e-6)


def test_lengths_make_the_labels_whole_again():
    """Label (1, 0) of length 2 scores as (2, 0) does; one of length 0.001 spreads its attention: half of 1."""
    reader = SpanReader(PlantedEncoder(), index_of([[1, 0], [1, 0]], [2.0, 0.001]))
    (reading,) = reader.read(["x"])
    assert reading.vector.tolist() == pytest.approx([math.sqrt(0.5)] * 2)
    assert reading.scores.tolist() == pytest.approx([0.880797, 0.50025], abs=1e-4)


def test_only_the_nearest_are_scored(monkeypatch):
    monkeypatch.setattr(module, "NEAREST", 2)
    index = index_of([[0, 1], [-1, 0], [1, 0], [math.sqrt(0.5)] * 2], [1.0, 1.0, 1.0, 1.0])
    (row,) = scores_of(SpanReader(PlantedEncoder(), index).read(["x"]), index)
    assert row[1] == NOT_NEAR
    assert sorted(np.flatnonzero(row > NOT_NEAR).tolist())[-1] == 3
    assert (row > NOT_NEAR).sum() == 2


def test_a_long_ranking_scores_as_many_as_it_shows(monkeypatch):
    """Four labels, two of them near: the others would stand in the order of the list with a score of -1."""
    monkeypatch.setattr(module, "NEAREST", 2)
    monkeypatch.setattr(skill_finder, "NEAREST", 2)
    index = index_of([[0, 1], [-1, 0], [1, 0], [math.sqrt(0.5)] * 2], [1.0, 1.0, 1.0, 1.0])
    finder = SkillFinder(PlantedEncoder(), index)
    ranked = finder.rank("x", 4)
    assert ranked[-1].label == "skill 1"
    assert ranked[-1].score > NOT_NEAR
    assert len(finder.rank("x", 2)) == 2


def test_nearest_is_in_the_order_of_labels():
    assert nearest(np.array([0.1, 0.9, 0.3, 0.8], np.float32), 2).tolist() == [1, 3]
    assert nearest(np.array([0.1, 0.9], np.float32), 5).tolist() == [0, 1]


def test_readings_come_in_the_order_of_the_texts():
    class Backwards:
        """The last text first, in batches of one; text number i has the vector (cos i, sin i)."""

        def encode_spans(self, texts):
            for i in reversed(range(len(texts))):
                vectors = np.array([[math.cos(i), math.sin(i)]], np.float32)
                yield SpanBatch([i], vectors, [np.eye(2, dtype=np.float32)])

    reader = SpanReader(Backwards(), index_of([[1, 0]], [1.0]))
    vectors = [reading.vector.tolist() for reading in reader.read(["a", "b", "c"])]
    assert vectors == [pytest.approx([math.cos(i), math.sin(i)]) for i in range(3)]
    assert reader.read([]) == []


def test_without_lengths_it_is_the_cosine():
    index = index_of([[1, 0], [0, 1]])
    (reading,) = SpanReader(PlantedEncoder(), index).read(["x"])
    assert (reading.near, reading.scores) == (None, None)
    np.testing.assert_allclose(scores_of([reading], index), [[math.sqrt(0.5)] * 2])


def test_what_is_remembered_is_the_same():
    encoder = PlantedEncoder()
    reader = RememberingReader(SpanReader(encoder, index_of([[1, 0]], [2.0])))
    first, again = reader.read(["x"]), reader.read(["x"])
    assert (len(encoder.calls), reader.encoded) == (1, 1)
    assert isinstance(again[0], Reading)
    assert again[0].scores.tolist() == first[0].scores.tolist()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny transformer, as torch and as ONNX, whose record says that it was trained by tokens."""
    from training.base_model import open_encoder
    from training.onnx_files import export_onnx

    folder = tiny_model(tmp_path_factory.mktemp("model"))
    export_onnx(open_encoder(folder), folder)
    record = {"recipe": {"stages": [{"loss": {"name": "mnrl"}}, {"loss": {"name": "token_and_cosine"}}]}}
    (folder / "training_record.json").write_text(json.dumps(record))
    return folder


def test_torch_and_onnx_give_the_same_spans(folder):
    torch, onnx = (load_encoder(folder, backend).encode_spans for backend in ("torch", "onnx"))
    (vectors, tokens), (others, other_tokens) = spans_of(torch, TEXTS), spans_of(onnx, TEXTS)
    np.testing.assert_allclose(vectors, others, atol=1e-5)
    assert [len(of_text) for of_text in tokens] == [len(of_text) for of_text in other_tokens]
    assert len(tokens[1]) < len(tokens[2])
    np.testing.assert_allclose(tokens[2].mean(axis=0), vectors[2], atol=1e-5)
    np.testing.assert_allclose(tokens[1], other_tokens[1], atol=1e-5)


def test_a_finder_ranks_as_the_evaluation_does(folder):
    """With fewer labels than are scored again, the order is that of every label's score: 0.7 by tokens, 0.3 cosine."""
    encoder = load_encoder(folder, "torch")
    index = encode_skills([Skill(label, label) for label in LABELS], encoder, "own")
    finder = SkillFinder(encoder, index, Settings())
    (vector,), (tokens,) = spans_of(encoder.encode_spans, [TEXTS[0]])
    labels, _ = spans_of(encoder.encode_spans, LABELS)
    cosines = normalised(labels) @ (vector / np.linalg.norm(vector))
    expected = 0.7 * token_matching_scores(tokens, labels) + 0.3 * cosines
    found = finder.rank(TEXTS[0])
    assert [match.label for match in found] == [LABELS[i] for i in np.argsort(-expected, kind="stable")]
    # Labels are kept in 16 bits.
    assert [match.score for match in found] == pytest.approx(sorted(expected.tolist(), reverse=True), abs=2e-3)


def test_an_index_for_the_other_way_to_score_is_refused(folder, tmp_path):
    """Scores on the wrong scale would meet a threshold that was chosen for others."""
    model = shutil.copytree(folder, tmp_path / "model")
    with_index(model, LABELS)  # as for a model that ranks by cosine
    with pytest.raises(SkillFinderError, match="another way to score"):
        SkillFinder.from_pretrained(model)
    (model / "training_record.json").unlink()
    assert SkillFinder.from_pretrained(model).rank(TEXTS[0])


def test_an_own_list_from_the_cache_scores_the_same(folder, tmp_path):
    encoder = load_encoder(folder, "onnx")
    skills = [Skill(label, label) for label in LABELS]
    made, kept = (encode_skills(skills, encoder, "own", tmp_path, "weights") for _ in range(2))
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    np.testing.assert_array_equal(made.lengths, kept.lengths)
    np.testing.assert_array_equal(made.vectors, kept.vectors)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"recipe": {"stages": [{"loss": {"name": "token_match"}}]}}', 1.0),
        ('{"recipe": {"stages": [{"loss": {"name": "token_and_cosine"}}]}}', 0.7),
        ('{"recipe": {"stages": [{"loss": {"name": "token_match"}}, {"loss": {"name": "mnrl"}}]}}', 0.0),
        ('{"recipe": {"stages": []}}', 0.0),
        ('{"recipe": null}', 0.0),
        ("[]", 0.0),
    ],
)
def test_the_record_says_how_a_model_scores(tmp_path, content, expected):
    (tmp_path / "training_record.json").write_text(content)
    assert TOKEN_SHARES == recipe.TOKEN_SHARES  # the extractor stands alone, and so repeats them
    assert token_share_of(tmp_path) == expected
    assert token_share_of(tmp_path / "none") == 0


@pytest.mark.parametrize("content", ["no json", '{"recipe": {"stages": [{"loss"', ""])
def test_half_of_a_record_says_nothing_of_how_a_model_scores(tmp_path, content):
    (tmp_path / "training_record.json").write_text(content)
    with pytest.raises(SkillFinderError, match=r"training_record\.json cannot be read"):
        token_share_of(tmp_path)
