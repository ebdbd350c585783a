"""Top k, ranks and ties against a slow, obvious implementation."""

import numpy as np
import pytest

from dataset_builder.benchmark_files import GoldSentence
from dataset_builder.contract import StageError
from eval.label_space import SkillNames
from eval.query_metrics import (
    metric_names,
    r_precision,
    ranks_as_text,
    ranks_from_text,
    reciprocal_rank,
    values_of,
)
from eval.ranking import cosine_scores, rank_of, rank_queries, system_of_encoder, top_of


def names_of(*labels):
    return SkillNames(labels=labels, source="test", version="0")


class Fixed:
    """Gives the rows of a matrix, by the number that each sentence is."""

    name = "fixed"

    def __init__(self, scores):
        self.matrix = np.array(scores, dtype=np.float32)

    def index(self, names):
        pass

    def scores(self, sentences):
        return self.matrix[[int(sentence) for sentence in sentences]]


def test_ties_go_to_the_earlier_label():
    """Scores 1 3 3 2 3: best first by score, ties by place: 1 2 4 3 0; ranks 5 1 2 4 3."""
    row = np.array([1, 3, 3, 2, 3], dtype=np.float32)
    assert top_of(row, 5).tolist() == [1, 2, 4, 3, 0]
    assert top_of(row, 2).tolist() == [1, 2]
    assert [rank_of(row, place) for place in range(5)] == [5, 1, 2, 4, 3]


@pytest.mark.parametrize("seed", range(20))
def test_top_and_ranks_agree_with_a_plain_sort(seed):
    generator = np.random.default_rng(seed)
    row = generator.integers(8, size=50).astype(np.float32)
    order = sorted(range(50), key=lambda place: (-row[place], place))
    for k in (1, 5, 49, 50, 80):
        assert top_of(row, k).tolist() == order[:k]
    assert [rank_of(row, place) for place in order] == list(range(1, 51))


def test_rankings_hold_top_ranks_and_scores_of_gold():
    """Row 0 ranks c (0.9), a (0.5), b (0.1); row 1 ranks a, b, c. Gold of row 0 is b and an unknown label."""
    names = names_of("a", "b", "c")
    queries = [GoldSentence("0", ("b", "not there")), GoldSentence("1", ("a", "c"))]
    rankings = rank_queries(Fixed([[0.5, 0.1, 0.9], [3, 2, 1]]), queries, names, depth=2)
    assert rankings.top.tolist() == [[2, 0], [0, 1]]
    assert rankings.top_scores == pytest.approx(np.array([[0.9, 0.5], [3, 2]]))
    assert rankings.gold_ranks == ((3, None), (1, 3))
    assert rankings.gold_scores == ((pytest.approx(0.1), None), (3, 1))


def test_small_blocks_give_the_same_as_one():
    generator = np.random.default_rng(3)
    system = Fixed(generator.normal(size=(30, 40)))
    names = names_of(*map(str, range(40)))
    queries = [GoldSentence(str(row), (str(row), "7")) for row in range(30)]
    whole = rank_queries(system, queries, names, depth=10)
    blocks = rank_queries(system, queries, names, depth=10, block_bytes=1)
    assert (whole.top == blocks.top).all()
    assert whole.gold_ranks == blocks.gold_ranks


def test_no_query_gives_an_empty_ranking():
    assert rank_queries(Fixed([[1, 2]]), [], names_of("a", "b"), depth=5).top.shape == (0, 2)


@pytest.mark.parametrize("scores", [[[np.nan, 1]], [[np.inf, 1]], [[1, 2, 3]]])
def test_scores_that_cannot_be_are_refused(scores):
    with pytest.raises(StageError, match="fixed gave scores"):
        rank_queries(Fixed(scores), [GoldSentence("0", ("a",))], names_of("a", "b"))


@pytest.mark.parametrize("scores", [np.array([[2, 3, 0]], np.uint8), np.array([[False, True, False]]), [[1, 5, 0]]])
def test_scores_of_any_numbers_are_ranked(scores, monkeypatch):
    """The second label has most, then comes the first (of two without any the earlier one)."""
    system = Fixed([])
    monkeypatch.setattr(system, "scores", lambda sentences: scores)
    rankings = rank_queries(system, [GoldSentence("0", ("b", "a"))], names_of("a", "b", "c"))
    assert rankings.top.tolist() == [[1, 0, 2]]
    assert rankings.gold_ranks == ((1, 2),)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([["x", "y"]], r"no array of numbers \(could not convert string to float: 'x'"),
        ([[1, 2], [3]], "no array of numbers"),
        ([[1j, 2]], r"no array of numbers \(they are complex"),
        (None, "of shape"),
        ([[1e300, 0]], "not finite"),
    ],
)
def test_scores_that_are_no_numbers_are_refused(scores, message, monkeypatch):
    system = Fixed([])
    monkeypatch.setattr(system, "scores", lambda sentences: scores)
    with pytest.raises(StageError, match=f"fixed gave scores.*{message}"):
        rank_queries(system, [GoldSentence("0", ("a",))], names_of("a", "b"))


def test_depth_below_one_is_refused():
    with pytest.raises(ValueError, match="depth must be 1 or more, got 0"):
        rank_queries(Fixed([[1]]), [], names_of("a"), depth=0)


def test_cosine_of_hand_made_vectors():
    """(3, 4) has length 5: cosine with (1, 0) is 3/5, with (0, 2) 4/5, with the zero vector 0."""
    sentences = np.array([[3, 4]], dtype=np.float32)
    labels = np.array([[1, 0], [0, 2], [0, 0]], dtype=np.float32)
    assert cosine_scores(sentences, labels)[0].tolist() == pytest.approx([0.6, 0.8, 0.0])


def test_vectors_of_the_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"must be 2-D, got shape \(3,\)"):
        cosine_scores(np.zeros(3, dtype=np.float32), np.zeros((1, 3), dtype=np.float32))
    with pytest.raises(ValueError, match="2 dimensions and labels 3"):
        cosine_scores(np.zeros((1, 2), dtype=np.float32), np.zeros((1, 3), dtype=np.float32))


class OneHot:
    """Encodes a text as the one-hot vector of its first letter."""

    def encode(self, sentences):
        return np.eye(26, dtype=np.float32)[[ord(text[0]) - ord("a") for text in sentences]]


def test_an_encoder_is_a_system_in_one_line():
    """Each sentence equals the label of the same first letter (cosine 1) and no other (cosine 0)."""
    names = names_of("apple", "banana", "cherry")
    system = system_of_encoder("one-hot", OneHot())
    with pytest.raises(RuntimeError, match="index"):
        system.scores(["b"])
    system.index(names)
    rankings = rank_queries(system, [GoldSentence("berry", ("banana",)), GoldSentence("alder", ("cherry",))], names)
    assert rankings.gold_ranks == ((1,), (3,))


def test_metrics_of_ranks_by_hand():
    """Gold at ranks 2, 4 and nowhere. RP@5 = 2/3, RP@1 = 0, hit@3 = 1, recall@3 = 1/3, MRR = 1/2.

    nDCG@5 = (1/log2 3 + 1/log2 5) / (1 + 1/log2 3 + 1/2).
    """
    ranks = [(2, 4, None)]
    expected = {"rp@5": 2 / 3, "rp@1": 0, "hit@3": 1, "recall@3": 1 / 3, "mrr": 1 / 2, "rp@2": 1 / 2}
    expected["ndcg@5"] = (1 / np.log2(3) + 1 / np.log2(5)) / (1 + 1 / np.log2(3) + 1 / 2)
    for metric, value in expected.items():
        assert values_of(ranks, metric).tolist() == pytest.approx([value]), metric


def test_a_query_whose_gold_the_label_space_lacks_scores_zero():
    assert r_precision((None, None), 5) == 0
    assert reciprocal_rank((None,)) == 0


@pytest.mark.parametrize("metric", ["rp", "rp@0", "rp@x", "map@5", "rp@-1"])
def test_unknown_metrics_are_refused(metric):
    with pytest.raises(ValueError, match="unknown metric"):
        values_of([(1,)], metric)


def test_a_query_without_gold_is_refused():
    with pytest.raises(ValueError, match="query 1 has no gold label"):
        values_of([(1,), ()], "rp@5")


def test_every_table_metric_is_known_and_ranks_survive_their_text_form():
    ranks = [(3, None, 1), (2,)]
    for metric in metric_names():
        assert values_of(ranks, metric).shape == (2,)
    assert ranks_as_text(ranks) == ["3 - 1", "2"]
    assert ranks_from_text(ranks_as_text(ranks)) == ranks
