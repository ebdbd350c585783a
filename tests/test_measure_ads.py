"""Whole ads: what counts as wrong, the sheet for a judge, and what the judge said."""

import csv
import json

import pytest

import ad_verdicts
import measure_ads
from ad_verdicts import Found
from dataset_builder.contract import StageError
from tests.tiny_finder import tiny_finder

TEXTS = {
    "Baker": "We are a family bakery.\nYou bake bread in ovens.\nYou know LDAP.",
    "Analyst": "Join us.\nYou write SQL and C++.",
}
ACCEPTED = {"Baker": ["bake bread in ovens"], "Analyst": ["SQL", "C++"]}


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "ads"
    place.mkdir()
    for title, text in TEXTS.items():
        skills = [{"label": label} for label in ACCEPTED[title]]
        ad = {"title": title, "text": text, "skills": skills, "no_skill_passages": []}
        (place / f"{title}.json").write_text(json.dumps(ad), encoding="utf-8")
    return place


@pytest.fixture
def main(monkeypatch, folder, tmp_path):
    finder = tiny_finder()
    monkeypatch.setattr(measure_ads.SkillFinder, "from_pretrained", lambda *_: finder)
    return lambda *more: measure_ads.main(["model", str(folder), "--out", str(tmp_path / "ads.json"), *map(str, more)])


def fill(sheet, right, judge="a reader"):
    """Say yes to what `right` holds."""
    with sheet.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row |= {"judge": judge, "verdict": "Yes" if (row["ad"], row["skill"]) in right else "no"}
    with sheet.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ad_verdicts.COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return rows


def test_what_no_reader_accepted_is_wrong(main, tmp_path):
    main()
    both = json.loads((tmp_path / "ads.json").read_text())["fusion"]["both"]
    assert (both["ads"], both["skills_found_an_ad"], both["wrong_an_ad"]) == (2, 2.0, 0.5)  # LDAP
    assert both["asked_for_and_found"] == 1.0


def test_a_judge_sees_what_was_found_and_as_much_of_other_ads(main, tmp_path):
    sheet = tmp_path / "sheet.csv"
    main("--sheet", sheet)
    assert not (tmp_path / "ads.json").exists()
    found = {("Baker", "bake bread in ovens"), ("Baker", "LDAP"), ("Analyst", "SQL"), ("Analyst", "C++")}
    rows = fill(sheet, {*found} - {("Analyst", "C++")})
    pairs = [(row["ad"], row["skill"]) for row in rows]
    assert set(pairs) > found
    assert {ad for ad, _ in set(pairs) - found} == {"Baker", "Analyst"}
    assert len(pairs) == len(set(pairs)) == 8
    assert {row["line"] for row in rows if row["skill"] == "LDAP" and row["ad"] == "Baker"} == {"You know LDAP."}
    main("--verdicts", sheet)
    said = json.loads((tmp_path / "ads.json").read_text())["judged"]
    assert said["judge"] == "a reader"
    assert (said["found"]["skills"], said["found"]["right"]) == (4, 3)
    assert (said["swapped"]["skills"], said["swapped"]["right"]) == (4, 0)
    higher = [(one["threshold"], one["skills_an_ad"], one["right"]) for one in said["by_threshold"]]
    assert higher == [(0.7, 2.0, 3), (0.8, 2.0, 3), (0.9, 2.0, 3)]  # all are written out
    # Wilson's interval of 3 of 4, by hand: (p + z²/2n ± z √(p q / n + z²/4n²)) / (1 + z²/n)
    assert said["found"]["right_low"] == pytest.approx(0.3006, abs=1e-3)
    assert said["found"]["right_high"] == pytest.approx(0.9544, abs=1e-3)


def test_the_sheet_s_order_says_nothing_of_what_was_found():
    found = [Found("a", f"skill {number}", "line") for number in range(50)]
    found += [Found("b", f"other {number}", "line") for number in range(50)]
    rows = ad_verdicts.with_swapped(found, {"a": frozenset(), "b": frozenset({"skill 3"})})
    assert len(rows) == len(set(rows)) == 199  # 49 skills of the other ad are left for the 50 of "b"
    assert Found("b", "skill 3", "line") not in rows
    first = [row in found for row in rows if row.ad == "a"][:50]
    assert 10 < sum(first) < 40


BAD = {
    "no file": (None, "no sheet of verdicts"),
    "other columns": ("ad,skill\nBaker,LDAP\n", "no sheet of verdicts"),
    "not text": (b"\xff\xfe\x00", "no sheet of verdicts"),
    "not filled in": ("ad,skill,line,judge,verdict\nBaker,LDAP,,,\n", "a verdict is yes or no, not ''"),
    "short row": ("ad,skill,line,judge,verdict\nBaker,LDAP\n", "no sheet of verdicts"),
    "of another model": ("ad,skill,line,judge,verdict\nBaker,LDAP,,me,yes\n", "says nothing of 3 of 4 skills found"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_sheet_that_is_none_is_one_line(name, main, tmp_path):
    content, message = BAD[name]
    sheet = tmp_path / "sheet.csv"
    if content is not None:
        sheet.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(StageError, match=message):
        main("--verdicts", sheet)
    assert not (tmp_path / "ads.json").exists()


def test_the_line_that_holds_a_place():
    text = "one\n  two \nthree"
    assert [ad_verdicts.line_at(text, place) for place in (0, 3, 4, 8, 12)] == ["one", "one", "two", "two", "three"]
