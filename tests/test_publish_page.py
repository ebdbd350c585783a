"""Which files make the page, and what its name is taken by."""

import shutil

import pytest

from space.publish import MARKER, SPACE_FOLDER, files_of_page


def test_only_what_the_page_needs_is_sent(tmp_path):
    """A list of applicants, or results, that somebody left in the folder stay where they are."""
    copy = shutil.copytree(SPACE_FOLDER, tmp_path / "space", ignore=shutil.ignore_patterns("__pycache__"))
    for stray in ("applicants.csv", "results/ads.json", "notes.txt", "examples/mine.csv"):
        (copy / stray).parent.mkdir(exist_ok=True)
        (copy / stray).write_text("stray")
    assert files_of_page(copy) == files_of_page()


@pytest.mark.parametrize("name", ["README.md", "requirements.txt", "page.css", "page.js", "stock_minilm.json", MARKER])
def test_what_it_needs_is_there(name):
    assert name in files_of_page()
    assert all((SPACE_FOLDER / file).is_file() for file in files_of_page())


def test_no_other_space_is_taken_for_this_page():
    """Nearly every Space has an app.py."""
    assert MARKER not in ("app.py", "README.md", "requirements.txt")
