"""What is a heading, and what only looks like one: space/no_skill.py."""

import pytest

from no_skill import cannot_ask
from passages import split_passages


@pytest.mark.parametrize(
    "line",
    [
        "* Experience with SQL and C++",
        "Experience with SQL and C++",
        "* Knowledge of Java",
        "Good knowledge of Java",
        "* Essential skills in C++",
        "SQL knowledge",
        "Good Excel skills",
        "Communication skills",
    ],
)
def test_a_bullet_or_a_line_that_asks_itself_is_no_heading(line):
    text = f"About the job\n{line}\n"
    passage = split_passages(text)[-1]
    assert text[passage.start : passage.end] == line.removeprefix("* ")
    assert cannot_ask([passage], text) == [False]


@pytest.mark.parametrize(
    "heading",
    [
        *("Essential skills", "**Requirements**", "Experience", "## Your profile", "Your knowledge of the trade:"),
        *("Technical skills", "What we are looking for", "Your responsibilities", "Essential skills and experience"),
    ],
)
def test_a_heading_that_asks_opens_a_list(heading):
    text = f"{heading}\nYou bake bread.\n"
    assert cannot_ask(split_passages(text), text) == [True, False]


@pytest.mark.parametrize(
    "heading",
    [
        *("Benefits", "Our benefits", "Pay and benefits:", "Compensation & Benefits", "Salary range", "The package"),
        *("Location - London", "Working hours", "Hours (37 per week)", "Contact us", "Contact details", "Legal notice"),
        *("Equal opportunity employer", "Diversity and inclusion", "Benefits of working here", "Privacy policy"),
        *("What we offer", "Why join us?", "About us", "In return you get"),
    ],
)
def test_a_heading_of_the_offer_silences_what_is_below(heading):
    text = f"{heading}\nYou bake bread.\n"
    assert cannot_ask(split_passages(text), text) == [True, True]


@pytest.mark.parametrize(
    "title",
    [
        *("Contact Centre Agent", "Legal Secretary", "Location Manager", "Benefits Adviser", "Compensation Analyst"),
        *("Legal assistant, Smith & Partners", "Address customer complaints", "Package Handler", "Pay Clerk"),
    ],
)
def test_a_title_or_task_that_begins_like_the_offer_silences_nothing(title):
    text = f"{title}\nYou bake bread.\n"
    assert cannot_ask(split_passages(text), text) == [False, False]


@pytest.mark.parametrize(
    ("line", "muted"),
    [
        ("Sell life insurance to private customers", False),
        ("Process pension applications", False),
        ("Manage a budget of $2 million", False),
        ("Process 500 invoices per month", False),
        ("Health insurance and pension", True),
        ("$20 per hour", True),
        ("25 days of holiday", True),
        ("A bonus at the end of the year", True),
    ],
)
def test_pay_is_the_offer_s_unless_it_is_the_work(line, muted):
    text = f"{line}.\n"
    assert cannot_ask(split_passages(text), text) == [muted]


def test_short_lines_below_the_offer_are_what_is_offered():
    """As text from a web page or a Word file has them: no bullets. After a blank line, or by asking, a part begins."""
    offered = "Benefits\nGerman language courses\nTraining in project management\n"
    assert cannot_ask(split_passages(offered), offered) == [True, True, True]
    for heading, opens_list in (("Your profile", True), ("Bakery assistant", False)):
        text = f"{offered}\n{heading}\nPython\n"
        assert cannot_ask(split_passages(text), text) == [True, True, True, opens_list, False]
    text = f"{offered}Your profile\nPython\n"
    assert cannot_ask(split_passages(text), text) == [True, True, True, True, False]


@pytest.mark.parametrize(
    ("line", "muted"),
    [
        ("You clean offices in hospitals and schools.", False),
        ("We have offices in Ghent and Lyon.", True),
        ("Python, SQL (see https://x.org)", False),
        ("https://x.org/jobs", True),
        ("Send a few lines and your CV: kitchen@x.example, The Hotel", True),
        ("See www.x.example for pictures.", True),
        ("More details at https://x.example/jobs", True),
        ("20 dollars per hour", True),
        ("1200 CHF per month", True),
        ("Our privacy policy applies", True),
        ("Please read our full privacy policy", True),
        ("Visit https://x.org to learn who we are", True),
        ("Questions? jane@x.org", True),
        ("Maintain our privacy policy and train staff in data protection.", False),
        ("Please read our privacy policy.", True),
        ("Knowledge of equal opportunities law", False),
        ("We are an equal opportunity employer.", True),
        ("Type at least 60 words per hour", False),
        ("Bake 300 breads per hour", False),
        ("17 per hour", True),
        ("Salary of 31,000 per annum", True),
    ],
)
def test_tasks_that_hold_a_word_of_the_offer(line, muted):
    assert cannot_ask(split_passages(line), line) == [muted] * len(split_passages(line))


@pytest.mark.parametrize(
    "ad",
    [
        "About us\nWe are a bakery with 12 shops.\nForklift team\nBake bread every morning",
        "About us\nWho we are\nPerson specification\nBake bread every morning",
        "Benefits\nCompany car\nThe ideal candidate\nBake bread every morning",
        "Benefits\n• Company car\n• Free lunch\nForklift team\n• Bake bread every morning",
        "What we offer\nCompany car\nAbout you\nBake bread every morning",
        "Benefits\nCompany car\nTech stack\nBake bread every morning",
    ],
)
def test_the_offer_ends_where_the_next_part_begins(ad):
    """Without blank lines: after a longer line or a bullet any short line is a heading, else one that asks."""
    assert cannot_ask(split_passages(ad), ad)[-1] is False
