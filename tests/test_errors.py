"""Kinds of error from suggestions and gold set by hand, and the command that shows them."""

import pytest

from dataset_builder.benchmark_files import GoldSentence
from dataset_builder.contract import run_command
from eval import errors
from eval.label_space import SkillNames
from eval.per_query import QueryResult, read_per_query, write_per_query
from eval.relations import GOLD, Relations, kind_of_query

NAMES = SkillNames(
    labels=("manage staff", "manage a team", "manage teams", "hire staff", "law", "bake bread", "team building"),
    source="",
    version="",
    uris=tuple("abcdefg"),
    types=("",) * 7,
    alternative_labels=(("lead people",), ("lead people",), (), (), ("legal matters",), (), ()),
    broader={"a": ("group",), "d": ("group",), "e": ("other",)},
    related={"f": ("a",)},
)


@pytest.mark.parametrize(
    ("suggested", "sentence", "gold", "kind"),
    [
        ("manage staff", "x", ("manage staff",), GOLD),
        ("law", "Deal with legal matters!", ("manage staff",), "partial gold"),
        ("manage a team", "x", ("manage staff",), "near-synonym"),  # They share the name "lead people".
        ("manage teams", "x", ("manage a team",), "near-synonym"),  # The same words but for a plural and "a".
        ("hire staff", "x", ("manage staff",), "hierarchy neighbour"),  # Both are children of "group".
        ("bake bread", "x", ("manage staff",), "hierarchy neighbour"),  # Related skills.
        ("team building", "Be part of a team", ("law",), "wrong sense"),
        ("bake bread", "x", ("law",), "other"),
    ],
)
def test_kinds_of_suggestion(suggested, sentence, gold, kind):
    assert Relations(NAMES).kind_of(NAMES.position[suggested], GoldSentence(sentence, gold), gold) == kind


def test_neighbours_of_gold_that_was_found_do_not_explain_a_miss():
    query = GoldSentence("x", ("manage staff", "law"))
    assert Relations(NAMES).kind_of(NAMES.position["hire staff"], query, ["law"]) == "other"


def test_kind_of_a_query_is_the_first_that_any_suggestion_shows():
    assert kind_of_query(["other", "wrong sense", "near-synonym", "gold"]) == "near-synonym"
    assert kind_of_query(["gold"]) == "other"


def answer(sentence, rp, kinds, rank=20):
    size = len(kinds)
    return QueryResult("TECH", sentence, ("wanted",), (rank,), ("x",) * size, (0.5,) * size, tuple(kinds), rp)


def test_command_groups_the_worst_queries(tmp_path, capsys):
    """Four answers: one perfect, two near-synonyms (the one further down is worse), one partial gold."""
    answers = [
        answer("perfect", 1.0, ["gold"], rank=1),
        answer("near", 0.0, ["near-synonym"], rank=6),
        answer("far", 0.0, ["near-synonym"], rank=900),
        answer("named", 0.5, ["partial gold", "other"], rank=None),
    ]
    write_per_query(tmp_path / "run.jsonl", answers)
    assert read_per_query(tmp_path / "run.jsonl") == answers
    # Unicode's own line ends, which ads pasted from elsewhere hold, end no line of the file.
    write_per_query(tmp_path / "odd.jsonl", [answer("two\u2028lines\x85", 1.0, ["gold"], rank=1)])
    assert len(read_per_query(tmp_path / "odd.jsonl")) == 1
    assert run_command(errors.main, [str(tmp_path / "run.json")]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[1].split() == ["TECH", "4", "3", "1", "2", "0", "0", "0"]
    assert printed.index("TECH  RP@5 0\nfar") < printed.index("TECH  RP@5 0\nnear")
    assert "wanted  wanted (rank 900)" in printed
    assert "wanted  wanted (not in the label space)" in printed
    assert "perfect" not in printed


def test_of_several_gold_labels_the_one_furthest_down_counts(tmp_path, capsys):
    """Ranks 7 and 8, 6 and 900, 6 and none: by the first gold label alone the pair of 7 and 8 would be the worst."""
    ranks = {"near": (7, 8), "far": (6, 900), "gone": (6, None)}
    answers = [
        QueryResult("TECH", name, ("one", "two"), found, ("x",), (0.5,), ("other",), 0.0)
        for name, found in ranks.items()
    ]
    write_per_query(tmp_path / "run.jsonl", answers)
    assert run_command(errors.main, [str(tmp_path / "run.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line in ranks] == ["gone", "far", "near"]


def test_a_benchmark_that_was_not_asked_is_no_benchmark_without_errors(tmp_path, capsys):
    write_per_query(tmp_path / "run.jsonl", [answer("far", 0.0, ["other"], rank=900)])
    assert run_command(errors.main, [str(tmp_path / "run.jsonl"), "--benchmark", "HOUSE"]) == 2
    assert "no query is of the benchmark 'HOUSE'. There are: TECH" in capsys.readouterr().err


def test_only_some_benchmarks_and_nothing_missed(tmp_path, capsys):
    write_per_query(tmp_path / "run.jsonl", [answer("perfect", 1.0, ["gold"], rank=1)])
    assert run_command(errors.main, [str(tmp_path / "run.jsonl"), "--benchmark", "TECH"]) == 0
    assert "No query was missed." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"), [("", "holds no query"), ('{"a": 1}\n', "line 1: not a query"), ("x\n", "line 1")]
)
def test_files_that_hold_no_answers_are_one_line(tmp_path, capsys, text, message):
    (tmp_path / "run.jsonl").write_text(text)
    assert run_command(errors.main, [str(tmp_path / "run.json")]) == 2
    assert message in capsys.readouterr().err
    assert run_command(errors.main, [str(tmp_path / "gone.json")]) == 2
    assert "eval.score_model --per-query" in capsys.readouterr().err
