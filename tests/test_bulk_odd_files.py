"""Odd files of ads (broken quotation marks, UTF-16, two columns of one name): nothing else is read for an ad."""

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bulk_rows import AdSource
from skill_finder import SkillFinderError
from tests.bulk_ads import bulk_command, texts_of

UNKNOWN_END = "a quotation mark within a cell is not doubled, so where its row ends is unknown"


@pytest.mark.parametrize(
    "cell",
    [
        '"You bake "fresh" bread.\nYou also clean, and sing."',
        '"You need a 24" monitor\nand more"',
        '"<a href="x.html">You</a> bake\n<p>You sing</p>"',
        '"We call it "home", or\nwork"',
        '"You \\"bake\\" bread\nand sing"',
        '"You bake\n2,"You sing,\nand dance"',
        '"You "bake" bread","\nand sing"',
    ],
)
def test_lines_of_a_broken_cell_are_no_ads(tmp_path, monkeypatch, capsys, cell):
    """The csv module goes on in the line after the mark, as if it were a row."""
    file = tmp_path / "ads.csv"
    file.write_text(f"id,text\n1,You fry\n2,{cell}\n3,You grill\n", encoding="utf-8")
    assert bulk_command(monkeypatch)(file, tmp_path / "out.parquet") == 2
    assert f"error: {file} line 3: {UNKNOWN_END}" in capsys.readouterr().err
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize(
    "cell",
    ['"You need a 24" monitor"', '"You "bake" bread",x', '"You "bake" bread",', '"You "bake" bread" \t', '"a "b"",""'],
)
def test_a_broken_cell_that_ends_with_its_line_is_an_error_of_its_row(tmp_path, cell):
    file = tmp_path / "ads.csv"
    file.write_text(f"id,text,more\n1,You fry,\n2,{cell}\n3,You grill,\n", encoding="utf-8")
    rows = list(AdSource(str(file), "text").rows())
    assert [row.text for row in rows] == ["You fry", None, "You grill"]
    assert rows[1].error == "line 3: ',' expected after '\"'"


@pytest.mark.parametrize(("name", "content"), [("ads.csv", "id,text\n1,{}\n"), ("ads.jsonl", '{{"text": "{}"}}\n')])
def test_a_file_of_two_bytes_a_letter_is_read_by_its_mark(tmp_path, name, content):
    """Read as one byte a letter, it would be other letters, and no error."""
    for file, packed in ((tmp_path / name, False), (tmp_path / f"{name}.gz", True)):
        data = content.format("烤面包 bäckt").encode("utf-16")
        file.write_bytes(gzip.compress(data) if packed else data)
        assert texts_of(file) == ["烤面包 bäckt"]


def test_two_columns_of_one_name_are_refused(tmp_path):
    """The last one would be taken without a word."""
    (tmp_path / "ads.csv").write_text("text,text\na,b\n", encoding="utf-8")
    pq.write_table(pa.table([["a"], ["b"]], names=["text", "text"]), tmp_path / "ads.parquet")
    for name in ("ads.csv", "ads.parquet"):
        with pytest.raises(SkillFinderError, match=f"{name} has 2 columns 'text': rename all but one"):
            texts_of(tmp_path / name)
