"""Names in a text: how their capitals may be written, and lists that are in capitals throughout."""

import pytest

from lexicon import Lexicon
from skill_index import Skill
from tests.tiny_finder import SKILLS, tiny_finder

UNLIKE = "and then nobody knew what else there might be"


def lexicon_of(*labels: str) -> Lexicon:
    return Lexicon([Skill(label, label) for label in labels])


def found(lexicon: Lexicon, text: str) -> list[tuple[int, str, bool]]:
    return [(name.skill, text[name.start : name.end], name.ambiguous) for name in lexicon.find(text)]


def test_a_name_in_another_case_needs_the_encoder():
    """As it is spelled it stands for itself; in lower case, or with one capital, it is only a candidate."""
    names = lexicon_of("SQL", "C++", "MATLAB", "Polish", "polish clay products", "R")
    assert names.written_only == {0, 1, 2, 5}
    assert found(names, "SQL, C++ and MATLAB") == [(0, "SQL", False), (1, "C++", False), (2, "MATLAB", False)]
    assert found(names, "sql, c++ and Matlab") == [(0, "sql", True), (1, "c++", True), (2, "Matlab", True)]
    assert found(names, "sQL and MatLab") == []


def test_a_word_of_the_language_stays_a_word():
    """ "polish" is in a label in lower case, "less" is an everyday word, and one letter is nothing."""
    names = lexicon_of("SQL", "Polish", "polish clay products", "LESS", "R")
    assert found(names, "polish it, do less, r") == []
    assert found(names, "Polish") == [(1, "Polish", False)]


def test_the_finder_takes_it_where_the_encoder_agrees():
    """The encoder of the tests shares words alone: "sql" and two others have a cosine of 1/sqrt(3) to SQL.

    One word of 11 has 0.30, below the 0.35 from which it agrees.
    """
    assert [match.label for match in tiny_finder().find_skills("sql reports monthly")] == ["SQL"]
    assert [match.label for match in tiny_finder().find_skills(f"it was c++ {UNLIKE}")] == []


@pytest.mark.parametrize("text", ["Good knowledge of Excel and sales.", "EXCEL, SALES", "excel and Sales"])
def test_a_list_in_capitals_is_found_however_it_is_written(text):
    names = lexicon_of("EXCEL", "SALES", "PROJECT MANAGEMENT")
    assert names.written_only == frozenset()
    assert {skill for skill, _, _ in found(names, text)} == {0, 1}


def test_single_letters_and_words_keep_their_case_in_such_a_list():
    names = lexicon_of("R", "IT", "GO", "PROJECT MANAGEMENT")
    assert found(names, "You go where it matters, in R&D with J. R. Smith.") == []
    assert names.written_only == {0, 1, 2}


def test_one_name_in_capitals_is_no_list_of_them():
    assert lexicon_of("SQL").written_only == {0}
    assert Lexicon(SKILLS).written_only == {0, 1, 2, 3, 4, 5}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("R, SQL and C", ["R", "SQL", "C"]),
        ("R/SQL, Python/R, C/C++", ["R", "SQL", "R", "C"]),
        ("Statistics (R) or C, 2024 or later", ["R", "C"]),
        ("Handle A/P, A/R and payroll, M/R/O duties, A/C units and C/O letters.", []),
        ("Microsoft(R) Office, (C) 2024 Acme, keep freezers at -18 °C or 0° C", []),
        ("Report to Mr. R Smith or Dr R Jones, bus line R, on C: drive or C:\\temp", []),
    ],
)
def test_a_single_letter_of_something_else_is_no_name(text, written):
    assert [one for _, one, _ in found(lexicon_of("R", "SQL", "C"), text)] == written


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("MATLAB's Simulink and SQL\u2019s window functions", ["MATLAB", "SQL"]),
        ("REST APIs, KPIs and SQLs", ["APIs", "KPIs", "SQLs"]),
        ("It's what the team's KPI is", ["KPI"]),
        ("kPIs, APIS or C's, Rs", []),
        ("The driver's licence or driver licence of a child's driver", ["driver's licence", "driver licence"]),
        ("You cook for McDonald's and for McDonald\u2019s guests", ["McDonald", "McDonald"]),
    ],
)
def test_a_possessive_and_a_plural_are_the_name_all_the_same(text, written):
    names = lexicon_of("SQL", "MATLAB", "API", "KPI", "R", "C", "driver's licence", "McDonald's", "IT")
    assert [one for _, one, _ in found(names, text)] == written


def test_an_accent_may_be_a_sign_of_its_own_in_a_name():
    composed, apart = "K\u00e4lteanlagen", "Ka\u0308lteanlagen"
    for name in (composed, apart):
        assert [one for _, one, _ in found(lexicon_of(name, "SQL"), f"Sie warten {composed}")] == [composed]
