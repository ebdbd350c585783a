"""R-Precision@k as `evaluate` loads it: values worked by hand, refusals, input kinds, and the card's doctests."""

import doctest
import importlib
import time
from pathlib import Path

import datasets
import evaluate
import numpy as np
import pyarrow as pa
import pytest

FOLDER = Path(__file__).resolve().parent.parent / "eval" / "r_precision_at_k"


@pytest.fixture(scope="module")
def metric():
    return evaluate.load(str(FOLDER))


def score(metric, ranking, gold, **options):
    return metric.compute(predictions=[ranking], references=[gold], **options)


def test_one_relevant_item_in_the_first_five_is_perfect(metric):
    """1 hit / min(5, 1) = 1."""
    assert score(metric, ["a", "b"], ["b"], k=5) == {"rp@5": 1.0}


def test_denominator_is_the_smaller_of_k_and_gold(metric):
    """Gold a, c, x. k=1: a is right, 1/min(1,3) = 1. k=2: a, 1/2. k=3: a and c, 2/3. k=10: 2/min(10,3) = 2/3."""
    result = score(metric, ["a", "b", "c"], ["a", "c", "x"], k=[1, 2, 3, 10])
    assert result == pytest.approx({"rp@1": 1, "rp@2": 1 / 2, "rp@3": 2 / 3, "rp@10": 2 / 3})


def test_mean_over_examples_and_values_of_each(metric):
    """RP@2 of the first is 1/2, of the second 1/1: mean 3/4. First hits at ranks 1 and 2: MRR (1 + 1/2) / 2 = 3/4."""
    result = metric.compute(
        predictions=[["a", "b", "c"], ["x", "y", "z"]], references=[["a", "c"], ["y"]], k=2, mrr=True, per_example=True
    )
    assert result == {"rp@2": 0.75, "mrr": 0.75, "per_example": {"rp@2": [0.5, 1.0], "mrr": [1.0, 0.5]}}


def test_nothing_found_scores_zero(metric):
    assert score(metric, ["a"], ["b"], mrr=True) == {"rp@5": 0.0, "mrr": 0.0}
    assert score(metric, [], ["b"], mrr=True) == {"rp@5": 0.0, "mrr": 0.0}


def test_repeated_references_count_once(metric):
    """References a, a are the set {a}: 1 / min(2, 1) = 1, where a list would give 1/2."""
    assert score(metric, ["a", "b"], ["a", "a"], k=2) == {"rp@2": 1.0}


def test_examples_without_references_are_refused_or_skipped_and_counted(metric):
    """Skipping leaves the first example alone: RP@1 = 0/1, first hit at rank 2."""
    examples = {"predictions": [["a", "b"], ["c"]], "references": [["b"], []]}
    with pytest.raises(ValueError, match="example 1 has no references"):
        metric.compute(**examples)
    result = metric.compute(**examples, k=1, mrr=True, on_empty="skip", per_example=True)
    assert result == {"rp@1": 0.0, "mrr": 0.5, "skipped": 1, "per_example": {"rp@1": [0.0, None], "mrr": [0.5, None]}}
    with pytest.raises(ValueError, match="nothing to score"):
        metric.compute(predictions=[["a"]], references=[[]], on_empty="skip")


@pytest.mark.parametrize("k", [0, -1, 1.5, "5", True, [], [5, 0], None])
def test_a_cut_off_that_cannot_be_is_refused(metric, k):
    with pytest.raises(ValueError, match="k must"):
        score(metric, ["a"], ["a"], k=k)


def test_the_same_cut_off_twice_is_one_key(metric):
    assert score(metric, ["a"], ["a"], k=[5, 5, np.int64(1)]) == {"rp@5": 1.0, "rp@1": 1.0}


@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        ([["a", "a"]], [["a"]], "example 0 predicts 'a' twice"),
        (["ab"], [["a"]], r"predictions\[0\] must be a list of items"),
        ([["a"]], ["a"], r"references\[0\] must be a list of items"),
        ([[1.5]], [["a"]], "neither text nor a whole number"),
        ([[None]], [["a"]], "neither text nor a whole number"),
        ([["a"], ["b"]], [["a"]], "2 predictions for 1 references"),
        ([], [], "no examples"),
    ],
)
def test_input_of_the_wrong_form_is_refused(metric, predictions, references, message):
    with pytest.raises(ValueError, match=message):
        metric.compute(predictions=predictions, references=references)


def test_it_works_again_after_a_refusal(metric):
    with pytest.raises(ValueError, match="twice"):
        score(metric, ["a", "a"], ["a"])
    assert score(metric, ["a"], ["a"]) == {"rp@5": 1.0}


def test_unknown_way_with_empty_examples_is_refused(metric):
    with pytest.raises(ValueError, match="on_empty must be"):
        score(metric, ["a"], ["a"], on_empty="ignore")


def test_lists_numpy_arrow_and_datasets_columns_give_the_same(metric):
    """b stands second of two, one gold label: RP@1 = 0, RP@5 = 1."""
    rankings, gold = [["a", "b"], ["c", "b"]], [["b"], ["b"]]
    table = pa.table({"p": rankings, "g": gold})
    columns = datasets.Dataset.from_dict({"p": rankings, "g": gold})
    kinds = [
        (rankings, gold),
        (np.array(rankings), np.array(gold)),
        (table["p"], table["g"]),
        (columns["p"], columns["g"]),
        ([tuple(row) for row in rankings], [set(row) for row in gold]),
    ]
    for predictions, references in kinds:
        result = metric.compute(predictions=predictions, references=references, k=[1, 5])
        assert result == {"rp@1": 0.0, "rp@5": 1.0}, type(predictions)


def test_whole_numbers_are_items_too(metric):
    assert score(metric, np.array([3, 7]), [7], k=1) == {"rp@1": 0.0}
    assert score(metric, [7, 3], np.array([7]), k=1) == {"rp@1": 1.0}


def test_examples_can_be_added_one_by_one_and_in_batches(metric):
    """Values 1 and 0: mean 1/2."""
    metric.add(prediction=["a"], reference=["a"])
    metric.add_batch(predictions=[["a"]], references=[["b"]])
    assert metric.compute(k=1) == {"rp@1": 0.5}


def test_combine(metric):
    combined = evaluate.combine({"first": metric, "second": evaluate.load(str(FOLDER), keep_in_memory=True)})
    result = combined.compute(predictions=[["a", "b"]], references=[["b"]], k=1)
    assert result == {"first_rp@1": 0.0, "second_rp@1": 0.0}


def test_a_hundred_thousand_examples_take_seconds(metric):
    """Ten distinct items out of a thousand each; about 2.5 s on two free cores, and other work may share them."""
    generator = np.random.default_rng(0)
    rankings = (generator.integers(1000, size=(100_000, 1)) + 7 * np.arange(10)) % 1000
    gold = generator.integers(1000, size=(100_000, 2))
    started = time.process_time()
    result = metric.compute(predictions=rankings.tolist(), references=gold.tolist(), k=[1, 5, 10], mrr=True)
    assert time.process_time() - started < 60
    expected = np.mean([len({*row[:5]} & {*want}) / len({*want}) for row, want in zip(rankings, gold, strict=True)])
    assert result["rp@5"] == pytest.approx(expected)


def test_doctests(metric):
    """The card's examples, with the metric's name standing for its folder."""
    module = importlib.import_module("eval.r_precision_at_k.r_precision_at_k")
    text = module._KWARGS_DESCRIPTION.replace('"r_precision_at_k"', repr(str(FOLDER)))
    examples = doctest.DocTestParser().get_doctest(text, {"evaluate": evaluate}, "metric", None, 0)
    assert len(examples.examples) == 5
    runner = doctest.DocTestRunner()
    runner.run(examples)
    assert runner.failures == 0


def test_page_reads_lines_and_says_what_is_wrong():
    """Two lines: hits at rank 1 of (a, b) and nothing: RP@1 = (1 + 0) / 2."""
    app = importlib.import_module("eval.r_precision_at_k.app")
    assert app.items_by_line("a; b\n\nc\n\n") == [["a", "b"], [], ["c"]]
    assert app.score("a; b\nc", "a\nd", "1", False) == ([["rp@1", "50.00"], ["mrr", "50.00"]], "")
    rows, message = app.score("a\nb", "a\n;", "1", True)
    assert rows == [["rp@1", "100.00"], ["mrr", "100.00"]]
    assert message == "1 without references left out"
    assert app.score("a; a", "a", "1", False)[1].startswith("example 0 predicts")
    assert app.score("a", "a", "0", False) == ([], "k must be a whole number of 1 or more, got 0")
    for wrong in ("one", "1.5", "-1", ""):
        assert app.score("a", "a", wrong, False)[1].startswith("k: write whole numbers such as 1 5 10")
    assert app.score("a; b\nc", "a", "1", True)[1].startswith("got 2 predictions for 1 references")
    assert app.score("", "", "1", True) == ([], "nothing to score: there are no examples")


def test_page_counts_an_empty_last_example():
    """RP@1 = (1 + 0) / 2 where the second has no prediction; without references it is refused or left out."""
    app = importlib.import_module("eval.r_precision_at_k.app")
    assert app.score("a\n\n", "a; b\nc", "1", False) == ([["rp@1", "50.00"], ["mrr", "50.00"]], "")
    assert app.score("a; b\nc", "a\n\n", "1", False)[1].startswith("example 1 has no references")
    assert app.score("a; b\nc", "a\n", "1", True)[1] == "1 without references left out"


def test_page_scores_one_request_at_a_time():
    """Its one metric object holds the examples of a computation, so two at once would be mixed."""
    app = importlib.import_module("eval.r_precision_at_k.app")
    (action,) = app.page().fns.values()
    assert (action.fn.__name__, action.concurrency_limit) == ("score", 1)
