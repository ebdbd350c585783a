"""A part of a Markdown file is replaced, and nothing else."""

import pytest

from dataset_builder.contract import StageError
from dataset_builder.markdown_parts import put_part


def test_what_stands_between_the_markers_is_replaced(tmp_path):
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- speed -->\nold\n<!-- /speed -->\nafter\n")
    put_part(page, "speed", "new")
    put_part(page, "speed", "| newer |\n| -- |")
    assert page.read_text() == "before\n<!-- speed -->\n| newer |\n| -- |\n<!-- /speed -->\nafter\n"


@pytest.mark.parametrize("text", ["nothing", "<!-- speed -->", "<!-- /speed --> <!-- speed -->"])
def test_a_file_without_both_markers_is_refused_and_left(tmp_path, text):
    page = tmp_path / "README.md"
    page.write_text(text)
    with pytest.raises(StageError, match="has no place for the tables"):
        put_part(page, "speed", "new")
    assert page.read_text() == text
