"""What people download: no formula for their spreadsheet, and everything that made the result."""

import csv
import io
import json

import pytest

from downloads import as_csv, as_json, as_records, safe_cell
from skill_match import Evidence, SkillMatch

TEXT = "Bakes bread.\nBakes rolls."
MATCH = SkillMatch(
    "bake",
    "http://x/1",
    "competence",
    0.76543,
    (Evidence(0, 12, 0.76543), Evidence(13, 25, 0.5)),
    "both",
    "food",
    ("roast",),
)


def test_records_quote_the_text():
    (record,) = as_records([MATCH], TEXT)
    assert [place["text"] for place in record["evidence"]] == ["Bakes bread.", "Bakes rolls."]
    assert record["score"] == 0.7654
    assert (record["uri"], record["similar"]) == ("http://x/1", ["roast"])


def test_csv_reads_back():
    rows = list(csv.DictReader(io.StringIO(as_csv(as_records([MATCH], TEXT)).removeprefix("\ufeff"))))
    assert rows == [
        {"skill": "bake", "uri": "http://x/1", "type": "competence", "score": "0.7654", "group": "food",
         "found_in": "Bakes bread.", "start": "0", "end": "12", "also_covers": "roast"}
    ]  # fmt: skip


def test_json_says_what_made_it():
    data = json.loads(as_json(as_records([MATCH], TEXT), {"model": "tiny", "taxonomy": "ESCO 1.1.0"}))
    assert (data["model"], data["taxonomy"], len(data["skills"])) == ("tiny", "ESCO 1.1.0", 1)


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", "  =1", "\uff1d1", '=HYPERLINK("http://x")']
)
def test_no_cell_is_a_formula(text):
    assert safe_cell(text) == "'" + text
    match = SkillMatch(text, text, text, 0.5, (Evidence(0, len(text), 0.5),), similar=(text,))
    cells = next(csv.reader(io.StringIO(as_csv(as_records([match], text)).split("\n", 1)[1])))
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for cell in cells)


@pytest.mark.parametrize(
    "text",
    [
        'x;"=HYPERLINK(1);y',
        "x;'=1",
        'x;" "=1',
        "x;=1+1;y",
        "x; =1+1",
        "x;\t@SUM(1)",
        "x;;+1",
        "=1;-1",
        "x;\uff1d1",
        "a;=1;=2",
    ],
)
def test_no_cell_is_a_formula_where_lines_are_cut_at_semicolons(text):
    """A spreadsheet of a language with decimal commas opens the file: its cells are the parts between semicolons."""
    match = SkillMatch(text, text, text, 0.5, (Evidence(0, len(text), 0.5),), similar=(text, text), group=text)
    for line in as_csv(as_records([match], text)).splitlines():
        cells = [cell.strip() for cell in (*line.split(";"), *next(csv.reader([line], delimiter=";")))]
        assert not any(cell.startswith(("=", "+", "-", "@", "\uff1d")) for cell in cells)
    assert safe_cell("SQL; C++; data-driven") == "SQL; C++; data-driven"


def test_numbers_stay_numbers():
    assert safe_cell(-1.5) == -1.5
    assert safe_cell("data-driven") == "data-driven"
