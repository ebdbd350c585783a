"""A taxonomy of one's own as a CSV: what is read, and what is refused rather than left out without a word."""

import pytest

from dataset_builder.contract import StageError
from dataset_builder.taxonomy_csv import read_taxonomy


def written(tmp_path, content: bytes):
    path = tmp_path / "own.csv"
    path.write_bytes(content)
    return path


def test_columns_of_any_order_and_further_ones(tmp_path):
    content = b"label,sector,id,alternative_labels,description\nbake bread,food,1,make bread | bake,Makes bread.\n"
    (skill,) = read_taxonomy(written(tmp_path, content)).skills
    assert (skill.uri, skill.label, skill.description) == ("1", "bake bread", "Makes bread.")
    assert skill.alternative_labels == ("make bread", "bake")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"id,label,Description\n1,a,b\n", r"has a column 'Description', where 'description' is read\. Rename it"),
        (b"id,label,altLabels\n1,a,b\n", r"has a column 'altLabels', where 'alternative_labels' is read"),
        (b"id,label,alternative labels\n1,a,b\n", r"'alternative labels', where 'alternative_labels' is read"),
        (b"id,label,id\n1,a,2\n", r"own.csv has 2 columns 'id'\. Rename all but one"),
        (b"id,label,description,description\n1,a,b,c\n", r"own.csv has 2 columns 'description'"),
        (b'id,label\n1,a\n2,"b\n3,c\n', r"line 3: a quotation mark is never closed \(read to line 4\)"),
        (b"id,label\n1,a\n2,caf\xe9\n", r"own.csv line 3 is not UTF-8 text"),
        (b"id,name\n1,a\n", r"has no column 'label' \(found: id, name\)\. The columns id and label must be there"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path, content, words):
    with pytest.raises(StageError, match=words):
        read_taxonomy(written(tmp_path, content))
