"""Passages of pasted ads: where they are cut, and that their offsets are the user's own."""

import itertools
import json
import re
import time

import pytest

from passages import MAX_PASSAGE_CHARS, split_list, split_passages


def cut(text: str) -> list[str]:
    return [text[passage.start : passage.end] for passage in split_passages(text)]


def f1(found: list[str], expected: list[str]) -> tuple[int, int, int]:
    both = len(set(found) & set(expected))
    return both, len(found), len(expected)


def quality(repo, cutter) -> tuple[float, int, int]:
    """F1 over all passages of the file, 2 x right / (found + expected); texts cut exactly, and all texts."""
    right = found = expected = exact = 0
    cases = json.loads((repo / "tests/data/passages.json").read_text(encoding="utf-8"))
    assert len(cases) >= 30
    for case in cases:
        got = cutter(case["text"])
        choices = [case["passages"], *(case.get("also") or [])]
        best = max(choices, key=lambda choice: f1(got, choice)[0] / max(len(choice), 1))
        exact += got in choices
        counts = f1(got, best)
        right, found, expected = right + counts[0], found + counts[1], expected + counts[2]
    return 2 * right / (found + expected), exact, len(cases)


def test_the_written_passages_are_cut_as_a_reader_would(repo):
    """SaT-3l-sm has an F1 of 0.965 on clean prose."""
    score, exact, cases = quality(repo, cut)
    assert score >= 0.965
    # README says so.
    assert (exact, cases) == (33, 34)


def test_a_kept_splitter_given_lines_without_bullets_cuts_fewer(repo):
    """README says so; runs where pysbd 0.3.4 is installed."""
    pysbd = pytest.importorskip("pysbd")
    segmenter = pysbd.Segmenter(language="en", clean=False)

    def bare(piece: str) -> str:
        return re.sub(r"^\s*(?:[-*•·▪>+]|\d+[.)])\s+", "", piece).strip()

    def cutter(text: str) -> list[str]:
        pieces = [bare(piece) for line in text.splitlines() for piece in segmenter.segment(bare(line))]
        return [piece for piece in pieces if piece]

    assert quality(repo, cutter)[1:] == (16, 34)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\r\n\t \u00a0 ", []),
        ("x", ["x"]),
        ("- \n• \n***\n-----", []),
        ("Knows C#\nand C++", ["Knows C#", "and C++"]),
        ("We use Node.js, e.g. Express. And .NET.", ["We use Node.js, e.g. Express.", "And .NET."]),
        ("Experience in R. You know SQL.", ["Experience in R.", "You know SQL."]),
        ("Ask J. Smith for more.", ["Ask J. Smith for more."]),
        ("Great team.You will lead it.", ["Great team.", "You will lead it."]),
        ("See booking.com for more", ["See booking.com for more"]),
        ("Python\tExpert\r\nSQL\tBasic", ["Python", "Expert", "SQL", "Basic"]),
        ("مهندس برمجيات. خبرة في SQL", ["مهندس برمجيات.", "خبرة في SQL"]),
        ("<script>alert('Java')</script>You bake", ["You bake"]),
        ("Works at <ORGANIZATION> now", ["Works at <ORGANIZATION> now"]),
        ("Be at <ADDRESS> by <TIME> sharp", ["Be at <ADDRESS> by <TIME> sharp"]),
        ("Ask us.<ADDRESS>1 High Street</ADDRESS>You bake", ["Ask us.", "1 High Street", "You bake"]),
    ],
)
def test_small_cases(text, expected):
    assert cut(text) == expected


def test_cleaned_text_has_no_markup_and_offsets_stay():
    text = "<p>You sell&nbsp;<b>R&amp;D</b> services</p>"
    (passage,) = split_passages(text)
    assert passage.text == "You sell R&D services"
    assert text[passage.start : passage.end] == "You sell&nbsp;<b>R&amp;D</b> services"


@pytest.mark.parametrize("marks", [401, 5000])
def test_a_letter_under_a_heap_of_accents_ends_nothing(marks):
    """They were one letter that no passage is long enough for."""
    text = f"You bake a{chr(0x301) * marks} cake"
    passages = split_passages(text)
    assert passages[0].start == 0
    assert passages[-1].end == len(text)
    assert all(earlier.end <= later.start for earlier, later in itertools.pairwise(passages))


def test_offsets_are_code_points_after_characters_beyond_the_basic_plane():
    text = "🚀🚀 Launch rockets 🚀\n👩‍💻 Write code"
    assert cut(text) == ["Launch rockets", "Write code"]


def test_lists_fall_into_items_and_prose_does_not():
    text = "Skills: Python, SQL (incl. joins, views) and data modelling"
    (passage,) = split_passages(text)
    assert [item.text for item in split_list(passage, text)] == ["Python", "SQL (incl. joins, views)", "data modelling"]
    assert all(text[item.start : item.end] == item.text for item in split_list(passage, text))
    prose = "When a guest complains, you listen to the whole story first, and you then find a way out together"
    assert split_list(split_passages(prose)[0], prose) == []


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "word ",
        "<script",
        "<a ",
        "<!--",
        "e.g. ",
        "• ",
        "- ",
        " ",
        "\n",
        "(1) ",
        "|",
        "X. ",
        "&nbsp;",
        "a,",
        "İ<b>",
    ],
)
def test_a_hundred_kilobytes_of_anything_are_cut_in_time(unit):
    text = unit * (100_000 // len(unit))
    started = time.process_time()
    passages = split_passages(text)
    assert time.process_time() - started < 30
    assert all(passage.end - passage.start <= MAX_PASSAGE_CHARS for passage in passages)
    assert all(earlier.end <= later.start for earlier, later in itertools.pairwise(passages))


@pytest.mark.parametrize(
    "unit",
    [
        "!",
        "…",
        "•",
        "-",
        "•-",
        " ",
        "<b></b>",
        "&nbsp;",
        "&lt;b&gt;",
        "\t|",
        ". ",
        '"',
        "o ",
        "&amp;",
        "&",
        "&#4",
        "\ufb01",
        "\u00ad",
    ],
)
def test_what_comes_a_hundred_thousand_times_is_split_in_time(unit):
    """The page takes texts of so many characters: time in proportion to them is some tenths of a second."""
    text = f"a{unit * (100_000 // len(unit))}b"
    started = time.perf_counter()
    split_passages(text)
    split_passages(f"{'x' * 50},\n{unit * (50_000 // len(unit))}b")
    assert time.perf_counter() - started < 5
