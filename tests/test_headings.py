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
    ],
)
def test_a_bullet_or_a_line_that_asks_itself_is_no_heading(line):
    text = f"About the job\n{line}\n"
    passage = split_passages(text)[-1]
    assert text[passage.start : passage.end] == line.removeprefix("* ")
    assert cannot_ask([passage], text) == [False]


@pytest.mark.parametrize(
    "heading",
    ["Essential skills", "**Requirements**", "Experience", "## Your profile", "Your knowledge of the trade:"],
)
def test_a_heading_that_asks_opens_a_list(heading):
    text = f"{heading}\nYou bake bread.\n"
    assert cannot_ask(split_passages(text), text) == [True, False]
