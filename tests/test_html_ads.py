"""Ads pasted as HTML: headings, lists, attributes and entities are read as a browser would show them."""

import html
import time

import pytest

from no_skill import cannot_ask
from page_markup import blank_markup
from passages import Passage, split_passages
from tests.tiny_finder import tiny_finder


def found(text: str) -> dict[str, str]:
    """Label -> the words of the user's own text that show it."""
    matches = tiny_finder().find_skills(text)
    return {match.label: text[match.evidence[0].start : match.evidence[0].end] for match in matches}


@pytest.mark.parametrize(
    "ad",
    [
        "<h2>What we offer</h2><ul><li>you plan shifts of employees</li><li>Free bread</li><li>SQL lessons</li></ul>",
        "<p><b>What we offer</b></p>\r\n<ul>\r\n<li>you plan shifts of employees</li>\r\n<li>SQL lessons</li>\r\n</ul>",
        "<div><strong>Benefits:</strong><br><ul class='x'><li><p>SQL lessons</p></li><li>C++</li></ul></div>",
        '<h3 class="a">\n  Our benefits\n</h3>\n<ul>\n  <li>\n    SQL lessons\n  </li>\n</ul>',
        "<h2>About us</h2><p>We plan shifts of employees for others with SQL, day and night.</p>",
    ],
)
def test_what_is_offered_in_html_asks_for_nothing(ad):
    assert found(ad) == {}


def test_a_heading_of_tasks_in_html_ends_the_offer():
    ad = "<h2>Benefits</h2><ul><li>SQL lessons</li></ul><h2>Your tasks</h2><ul><li>You bake bread</li><li>C++</li></ul>"
    assert found(ad) == {"bake bread in ovens": "You bake bread", "C++": "C++"}


@pytest.mark.parametrize(
    "ad",
    [
        'Read <a href="https://x.example/SQL">our page</a> first',
        "Read <img alt='SQL' src='C++.png'> our page",
        'Read <span data-skill="LDAP" title="CSS">our page</span> first',
        "Read <style>.x { font: CSS }</style><script>var SQL = 1</script>our page",
        "<p>Read <!-- SQL --> our page</p>",
    ],
)
def test_attributes_and_scripts_name_no_skill(ad):
    assert found(ad) == {}


@pytest.mark.parametrize(
    "ad",
    ["SQL&nbsp;and more", "more&nbsp;SQL", "<b>SQL</b> and more", "We use <em>SQL</em>.", "SQL\u00a0and more"],
)
def test_names_beside_markup_are_found_where_they_stand(ad):
    assert found(ad) == {"SQL": "SQL"}


def test_a_name_that_begins_like_a_hidden_tag_hides_nothing():
    assert found("<objectives>\nYou bake bread\n</objectives>\n<styles>C++</styles>") == {
        "bake bread in ovens": "You bake bread",
        "C++": "C++",
    }
    assert found("Read <object data='x'>SQL</objects> C++</object\n> or <script/x>LDAP</script>, CSS") == {"CSS": "CSS"}


def test_a_letter_that_grows_in_lower_case_hides_no_script():
    text = "İstanbul <SCRIPT>SQL()</Script><!-- C++ --> You bake bread"
    assert blank_markup(text).split() == ["İstanbul", "You", "bake", "bread"]
    assert len(blank_markup(text)) == len(text)


def test_a_heading_among_odd_blanks():
    for blank in ("\u00a0", "\u2002", "\u200b", "\r", "\ufeff"):
        text = f"{blank}Benefits{blank}\n- SQL lessons"
        assert found(text) == {}


@pytest.mark.parametrize("mark", ["", "\n ", "\u200b", "\ufeff", "\u00ad", "\u2060 "])
def test_the_first_paragraph_of_an_item_is_no_heading(mark):
    ad = f"<ul><li>{mark}<p>Company benefits</p></li>\n<li>SQL</li><li>CSS</li></ul>"
    assert found(ad) == {"SQL": "SQL", "CSS": "CSS"}


@pytest.mark.parametrize("line", ["ab\n", "ab, "])
def test_a_megabyte_of_short_passages_is_judged_in_time(line):
    """333,333 or 250,000 passages: what stands before each is looked at, and no more."""
    text = line * (1_000_000 // len(line))
    passages = [Passage(start, start + 2, "ab") for start in range(0, len(text), len(line))]
    started = time.process_time()
    assert cannot_ask(passages, text) == [False] * len(passages)
    assert time.process_time() - started < 60


def test_html_that_comes_escaped_is_html():
    """As feeds give it: passages are those of the unescaped form, and offsets are of the text as it came."""
    ad = "<h2>Benefits</h2><ul><li>Free lunch</li><li>A gym</li></ul><h2>Tasks</h2><p>C&#43;&#43; &amp; SQL</p>"
    escaped = html.escape(ad, quote=False)
    passages = split_passages(escaped)
    assert [one.text for one in passages] == [one.text for one in split_passages(ad)]
    shown = [escaped[one.start : one.end] for one in passages]
    assert shown == ["Benefits", "Free lunch", "A gym", "Tasks", "C&amp;#43;&amp;#43; &amp;amp; SQL"]
    assert cannot_ask(passages, blank_markup(escaped)) == [True, True, True, True, False]
    assert len(blank_markup(escaped)) == len(escaped)


def test_a_page_may_speak_of_tags():
    """With tags of its own a page is unescaped once: what is escaped in it are words."""
    ad = "<p>Know the &lt;script&gt; tag</p><p>Test pages</p><p>and &lt;/script&gt;</p>"
    assert [one.text for one in split_passages(ad)] == ["Know the <script> tag", "Test pages", "and </script>"]


def test_an_escaped_word_in_angle_brackets_stays_a_word():
    assert blank_markup("a &lt;ORGANIZATION&gt; and x &lt; y &gt; z") == "a &lt;ORGANIZATION&gt; and x &lt; y &gt; z"


def test_html_that_was_escaped_twice_is_html():
    ad = "<p>You use Python.</p><ul><li>manage <b>staff</b></li><li class='a'>bake bread</li></ul>"
    twice = html.escape(html.escape(ad))
    passages = split_passages(twice)
    assert [one.text for one in passages] == ["You use Python.", "manage staff", "bake bread"]
    assert len(blank_markup(twice)) == len(twice)


def test_an_escaped_page_may_speak_of_tags():
    ad = html.escape("<p>Know the &lt;script&gt; tag</p><p>Test pages</p><p>and &lt;/script&gt;</p>")
    assert [one.text for one in split_passages(ad)] == ["Know the <script> tag", "Test pages", "and </script>"]
