"""Narrowed evidence against annotated spans: counts by hand, rows that are read and refused, and the command."""

import json

import pytest

from dataset_builder.contract import StageError
from narrowing import STANDS_OUT
from skill_finder import SkillFinder, SkillFinderError
from skill_index import Skill
from space import measure_evidence
from space.measure_evidence import Row, overlap, read_rows
from tests.test_taxonomy import stub_model
from tests.tiny_finder import tiny_finder

CSV = "sentence,span,sub_span,label\nin ovens bake sql sql,sql sql,,sql\nin ovens bake sql sql,gone,,sql\n"


def test_words_are_counted_by_hand():
    """Kept "bake our bread daily", 4 words, annotated "our bread", both kept: precision 1/2, recall 1, F1 2/3."""
    sentence = "We bake our bread daily"
    got = overlap([Row(sentence, 8, 17, "x")], [(3, 23)])
    assert (got.precision, got.recall, got.touches) == (0.5, 1.0, 1.0)
    assert got.f1 == pytest.approx(2 / 3)
    assert got.share_of_sentence == pytest.approx(4 / 5)
    missed = overlap([Row(sentence, 8, 17, "x")], [(0, 2)])
    assert (missed.precision, missed.recall, missed.f1, missed.touches) == (0.0, 0.0, 0.0, 0.0)


def test_rows_without_their_span_are_left_out(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text(CSV, encoding="utf-8")
    assert read_rows(file) == [Row("in ovens bake sql sql", 14, 21, "sql")]
    (tmp_path / "other.csv").write_text("sentence,label\n", encoding="utf-8")
    with pytest.raises(StageError, match="span"):
        read_rows(tmp_path / "other.csv")
    with pytest.raises(StageError, match="does not exist"):
        read_rows(tmp_path / "none.csv")


def test_rows_of_test_sentences_are_left_out(tmp_path):
    file = tmp_path / "x_validation.csv"
    file.write_text(CSV + "we bake,bake,,bake\n", encoding="utf-8")
    (tmp_path / "x_test.csv").write_text("sentence,label\nIn ovens bake SQL SQL!,sql\n", encoding="utf-8")
    assert read_rows(file) == [Row("we bake", 3, 7, "bake")]


def test_an_encoder_without_tokens_is_refused():
    with pytest.raises(SkillFinderError, match="no token vectors"):
        measure_evidence.measure(tiny_finder(), [Row("You know SQL and more of it", 9, 12, "SQL")])


def test_narrowing_keeps_the_annotated_words(tmp_path):
    """The stub's "sql" is exactly the skill, other words are not: two of five words, both annotated."""
    finder = SkillFinder.from_pretrained(stub_model(tmp_path), skills=[Skill("sql", "sql")], taxonomy="own")
    figures = measure_evidence.measure(finder, [Row("in ovens bake sql sql", 14, 21, "sql")])
    assert figures["whole sentence"].precision == pytest.approx(2 / 5)
    in_use = figures[f"{STANDS_OUT} deviations (in use)"]
    assert (in_use.precision, in_use.recall) == (1.0, 1.0)
    report = measure_evidence.report(figures)
    assert report.count("\n") == len(figures) + 1
    assert json.dumps(sorted(figures))
    with pytest.raises(SkillFinderError, match="no row"):
        measure_evidence.measure(finder, [Row("in ovens bake sql sql", 14, 21, "unknown")])
