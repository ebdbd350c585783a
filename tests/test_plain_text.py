"""Entities, ligatures and marks of no width: read as a reader sees them, and placed where they stand."""

import itertools

import pytest

from passage_scores import read_units
from passages import split_passages
from plain_text import plain_text
from skill_index import Skill
from tests.tiny_finder import SKILLS, tiny_finder

NINE_BLANKS = "\u2002" * 9
OWN = (
    *SKILLS,
    Skill("x:children", "handle children's problems"),
    Skill("x:flow", "workflow software"),
    Skill("x:cafe", "caf\u00e9 software"),
)


def found(text: str) -> dict[str, str]:
    """Label -> the words of the user's own text that show it."""
    matches = tiny_finder(OWN).find_skills(text)
    return {match.label: text[match.evidence[0].start : match.evidence[0].end] for match in matches}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<p>You program B&amp;R controllers for our plant.</p>", {}),
        ("<p>You know R &amp; SQL.</p>", {"SQL": "SQL"}),
        ("Experience with C&#43;&#43; and C&#x23;.", {"C++": "C&#43;&#43;", "C#": "C&#x23;"}),
        ("Python, C&#43;&#43;, SQL", {"C++": "C&#43;&#43;", "SQL": "SQL"}),
        ("&lt;p&gt;C&amp;#43;&amp;#43;&lt;/p&gt;", {"C++": "C&amp;#43;&amp;#43;"}),
        ("You handle children&#39;s problems.", {"handle children's problems": "handle children&#39;s problems"}),
        ("You handle children&#39s problems.", {"handle children's problems": "handle children&#39s problems"}),
        ("You handle children&#x27s problems", {"handle children's problems": "handle children&#x27s problems"}),
        ("You handle children&rsquo;s problems", {"handle children's problems": "handle children&rsquo;s problems"}),
        ("We use work\ufb02ow software.", {"workflow software": "work\ufb02ow software"}),
        ("We use work&fllig;ow software.", {"workflow software": "work&fllig;ow software"}),
        ("We use S\u00adQL\ufeff.", {"SQL": "S\u00adQL"}),
        ("We use \U0001d5e6\U0001d5e4\U0001d5df.", {"SQL": "\U0001d5e6\U0001d5e4\U0001d5df"}),
        ("We use \uff33\uff31\uff2c\uff0e", {"SQL": "\uff33\uff31\uff2c"}),
        ("You use cafe\u0301 software.", {"caf\u00e9 software": "cafe\u0301 software"}),
        ("You use caf\u00e9 software.", {"caf\u00e9 software": "caf\u00e9 software"}),
        ("You bake\u2060 bre\u200bad", {"bake bread in ovens": "You bake\u2060 bre\u200bad"}),
        ("You bake bre&shy;ad", {"bake bread in ovens": "You bake bre&shy;ad"}),
    ],
)
def test_names_are_found_however_they_are_written_down(text, expected):
    assert found(text) == expected


@pytest.mark.parametrize(
    ("text", "letters", "entities"),
    [
        ("plain & simple;", "plain & simple;", []),
        ("a &lt;b&gt; &unheardof; &; &#; &#x;", f"a {NINE_BLANKS} &unheardof; &; &#; &#x;", []),
        ("R&amp;Dev; x", "R&Dev; x", ["&amp;"]),
        ("&amp;amp;amp;", "&amp;", ["&amp;amp;"]),
        ("a&#13;&#10;b&#1;c&#xD83D;", "a \nbc\ufffd", ["&#13;", "&#10;", "&#xD83D;"]),
        ("&#65B&amp;#x43, &copy &#1234567890;", "ABC, &copy &#1234567890;", ["&#65", "&amp;#x43"]),
        ("\u00ad\u00ad", "", []),
        ("&NotEqualTilde;&ffilig;\ufb06", "\u2242\u0338ffist", ["&NotEqualTilde;", "&ffilig;"]),
    ],
)
def test_every_letter_knows_where_it_stands(text, letters, entities):
    plain = plain_text(text)
    assert plain.letters == letters
    assert len(plain.starts) == len(plain.ends) == len(letters)
    places = dict.fromkeys(zip(plain.starts, plain.ends, strict=True))
    assert [text[start:end] for start, end in places if end > start + 1] == entities
    for letter, start, end in zip(letters, plain.starts, plain.ends, strict=True):
        if end == start + 1:
            assert text[start:end] in (letter, "\ufb06") or letter == "\u2002"


def test_bullets_and_ends_of_sentences_may_be_entities():
    text = "&#9679; You bake bread&#46; You plan&hellip; Then &ldquo;SQL&rdquo;&#10;&ndash; CSS"
    shown = [text[one.start : one.end] for one in split_passages(text)]
    assert shown == ["You bake bread&#46;", "You plan&hellip;", "Then &ldquo;SQL&rdquo;", "CSS"]


@pytest.mark.parametrize("name", ["#10;", "#xA;", "#10", "#0010;", "NewLine;", "#13;", "#13;&#10;", "Tab;", "amp;#10;"])
def test_a_break_that_is_an_entity_is_a_blank_in_a_page(name):
    """As a break of the source is."""
    (passage,) = split_passages(f"<div><p>You bake bread&{name}and plan shifts</p></div>")
    assert passage.text == "You bake bread and plan shifts"


@pytest.mark.parametrize("line_break", ["\n", "&#10;"])
def test_many_breaks_among_few_tags_are_the_ads_own(line_break):
    """2 tags among 5 breaks are no page: 2 x 2 < 5."""
    ad = "<p>Tasks</p>" + f"{line_break}Bake" * 5
    assert [one.text for one in split_passages(ad)] == ["Tasks", *["Bake"] * 5]


def test_a_number_that_only_begins_like_a_break_is_none():
    assert plain_text("<p>a</p><p>&#105&#xAE;&#9679;</p>").letters.split() == ["a", "i\u00ae\u25cf"]


@pytest.mark.parametrize("written", ["\ufb03", "&ffilig;", "\ufb01"])
def test_no_passage_ends_within_a_ligature(written):
    """400 = 3 x 133 + 1 = 2 x 200: the limit would be within a ligature of three letters."""
    text = written * 400
    passages = split_passages(text)
    assert all(earlier.end == later.start for earlier, later in itertools.pairwise(passages))
    assert "".join(text[one.start : one.end] for one in passages) == text
    assert max(len(one.text) for one in passages) == (400 if written == "\ufb01" else 399)


def test_a_heading_between_marks_of_no_width_is_a_heading():
    assert [unit.cannot_ask for unit in read_units("\ufeffBenefits\u200b\n- SQL lessons")] == [True, True]


def test_one_sentence_is_ranked_by_its_letters():
    """ "work\ufb02ow software" has both words of the name: their cosine is 1."""
    best = tiny_finder(OWN).rank("Work\ufb02ow soft\u00adware", 1)[0]
    assert (best.label, round(best.score, 4)) == ("workflow software", 1.0)


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        ("manage-\nment", "management"),
        ("manage-\r\n  ment", "management"),
        ("long-\nterm", "long-term"),
        ("evidence-\nbased", "evidence-based"),
        ("day-to-\nday", "day-to-day"),
        ("short-\nand long-term", "short-\nand long-term"),
        ("Windows-\nServer", "Windows-\nServer"),
    ],
)
def test_a_word_that_a_line_end_broke_is_one_word(broken, whole):
    line = "You come with years of experience in questions of "
    plain = plain_text(f"{line}{broken} and care")
    assert plain.letters == f"{line}{whole} and care"
    assert plain.place(len(line), len(line) + len(whole)) == (len(line), len(line) + len(broken))


def test_the_mark_after_a_heading_breaks_no_word():
    assert plain_text("Your duties-\nmanage staff").letters == "Your duties-\nmanage staff"
