"""Benchmark files under the protocol of Decorte et al. 2023, and files that are none."""

from pathlib import Path

import pytest

from dataset_builder.benchmark_files import (
    GoldSentence,
    group_rows,
    list_in,
    read_benchmark_file,
    read_validation_file,
    text_key,
)
from dataset_builder.contract import StageError
from eval.benchmarks import csv_rows
from space.measure_evidence import read_rows
from training.skillskape import read_skillskape


def write(folder: Path, *lines: str, header: str = "sentence,label") -> Path:
    path = folder / "benchmark.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def test_rows_of_one_sentence_become_a_set_in_order_of_mention(tmp_path: Path):
    """Four rows, one of them twice: two sentences, the first with two labels."""
    path = write(tmp_path, "Bake and sell.,sell", "Bake and sell.,bake", "Clean up.,clean", "Bake and sell.,sell")
    found = read_benchmark_file(path)
    assert found.queries == (GoldSentence("Bake and sell.", ("sell", "bake")), GoldSentence("Clean up.", ("clean",)))
    assert (found.rows, found.dropped_rows, found.without_skill) == (4, 0, ())


def test_unusable_labels_are_dropped(tmp_path: Path):
    """Of six rows four are dropped: two reasons, one with spaces around it, and one blank; `Mixed` keeps one label."""
    path = write(
        tmp_path,
        "Mixed,UNDERSPECIFIED",
        "Mixed,bake",
        "Absent,LABEL NOT PRESENT",
        "Vague, UNDERSPECIFIED ",
        "Blank,",
        "Good,sell",
    )
    found = read_benchmark_file(path)
    assert [query.sentence for query in found.queries] == ["Mixed", "Good"]
    assert found.queries[0].labels == ("bake",)
    assert found.without_skill == ("Absent", "Vague", "Blank")
    assert (found.rows, found.dropped_rows) == (6, 4)


def test_labels_are_stripped_before_they_are_compared(tmp_path: Path):
    """`plan ` and `plan` are one label; a comma inside quotes belongs to the label."""
    path = write(tmp_path, 'Plan it,"plan "', "Plan it,plan", 'Plan it,"data extraction, loading"')
    assert read_benchmark_file(path).queries[0].labels == ("plan", "data extraction, loading")


def test_lower_case_reasons_are_labels():
    """The files write the two reasons in capitals; nothing else is taken for one."""
    assert group_rows([("a", "underspecified")], "x").queries[0].labels == ("underspecified",)


def test_sentences_keep_their_bullets_and_spaces(tmp_path: Path):
    path = write(tmp_path, '"* Python , SQL ",SQL', '"a\nb",SQL')
    assert [query.sentence for query in read_benchmark_file(path).queries] == ["* Python , SQL ", "a\nb"]


def test_bom_more_columns_and_other_names(tmp_path: Path):
    path = tmp_path / "benchmark.csv"
    path.write_bytes(b"\xef\xbb\xbfid,text,span,skill\r\n1,Bake.,bak,bake\r\n")
    assert read_benchmark_file(path, "text", "skill").queries == (GoldSentence("Bake.", ("bake",)),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text,label\na,b\n", r"has no column 'sentence' \(found: text, label\)"),
        (b"sentence,skill\na,b\n", r"has no column 'label' \(found: sentence, skill\)"),
        (b"", r"has no column 'sentence' \(found: none\)"),
        (b"sentence,label\n", r"has no sentence with a label. Is it a benchmark file\?"),
        (b"sentence,label\na,UNDERSPECIFIED\n", r"has no sentence with a label"),
        (b"label,sentence\nSQL,Uses SQL\nSQL\n", r"line 3: the row ends before column 'sentence'"),
        (b"sentence,label\na,b\na,b,c\n", r"line 3: more cells than columns"),
        (b"sentence,label\n  ,SQL\n", r"line 2: column 'sentence' is empty"),
        ("sentence,label\nfür,SQL\n".encode("latin-1"), r"line 2 is not UTF-8 text"),
        (b'sentence,label\n"' + b"x" * 140_000, r"line 2: field larger than field limit"),
    ],
)
def test_wrong_file(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "benchmark.csv"
    path.write_bytes(content)
    with pytest.raises(StageError, match=rf"benchmark.csv {message}"):
        read_benchmark_file(path)


@pytest.mark.parametrize("read", [read_benchmark_file, csv_rows, read_rows, lambda path: read_skillskape(str(path))])
@pytest.mark.parametrize(
    ("bread", "message"),
    [('"bake bread', "line 3: a quotation mark is never closed"), ('"bake" bread', "line 3: ',' expected after '\"'")],
)
def test_a_quotation_mark_that_is_never_closed_swallows_no_row(tmp_path: Path, read, bread: str, message: str):
    """It opens in line 3 of 5, and without a word two of four rows would be read."""
    path = tmp_path / "x_validation.csv"
    rows = [f"You bake,,,[],{bread}", "You sew,,,[],sew clothes", "You cook,,,[],cook food"]
    path.write_text("\n".join(["sentence,span,sub_span,skills,label", "You plan,,,[],plan work", *rows, ""]))
    with pytest.raises(StageError, match=rf"x_validation\.csv {message}"):
        read(path)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("['a', \"b's\", 'c, d']", ["a", "b's", "c, d"]),
        (" ['a',\n 'b']", ["a", "b"]),
        ("[]", []),
        ("['manage staff' 'plan schedules']", None),
        ("['a', 'b'\n 'c']", None),
        ("('a', 'b')", None),
        ("a, b", None),
    ],
)
def test_a_list_in_a_cell_has_commas(cell: str, expected: list[str] | None):
    """Python joins strings that stand side by side, and numpy writes its arrays so."""
    assert list_in(cell) == expected


def test_skillskape_labels_have_commas_between(tmp_path: Path):
    with pytest.raises(StageError, match="line 2: column 'skills' holds no list"):
        read_skillskape(str(write(tmp_path, "We bake.,['bake' 'sell']", header="sentence,skills")))


@pytest.mark.parametrize("name", ["missing.csv", "."])
def test_no_file(tmp_path: Path, name: str):
    with pytest.raises(StageError, match=r"does not exist. Give a CSV with the columns 'sentence' and 'label'"):
        read_benchmark_file(tmp_path / name)


def test_text_key():
    assert text_key("* We bake  bread, daily!") == "webakebreaddaily"


def test_sentences_of_any_test_file_beside_it_are_no_validation(tmp_path: Path):
    """Of four sentences one stands in its own test file, one with other spacing in another's, and one, which asks for
    nothing, in a test file as well."""
    header = "sentence,label\n"
    path = tmp_path / "one_validation.csv"
    path.write_text(header + "We bake.,bake\nWe sail!,sail\nWe smile.,UNDERSPECIFIED\nWe weld.,weld\nHello.,\n")
    (tmp_path / "one_test.csv").write_text(header + "We bake.,bake\nWe smile.,UNDERSPECIFIED\n")
    (tmp_path / "two_test.csv").write_text(header + "* we  sail,sail\n")
    kept = read_validation_file(path)
    assert kept.queries == (GoldSentence("We weld.", ("weld",)),)
    assert kept.without_skill == ("Hello.",)
    assert len(read_benchmark_file(path).queries) == 3


def test_a_test_file_of_no_other_name_counts_as_well(tmp_path: Path):
    path = tmp_path / "validation.csv"
    path.write_text("sentence,label\nWe bake.,bake\nWe weld.,weld\n")
    (tmp_path / "test.csv").write_text("sentence,label\nWe bake.,bake\n")
    assert read_validation_file(path).queries == (GoldSentence("We weld.", ("weld",)),)


@pytest.mark.parametrize("name", ["one_test.csv", "test.csv"])
def test_a_test_file_is_no_validation(tmp_path: Path, name: str):
    path = tmp_path / name
    path.write_text("sentence,label\nWe bake.,bake\n")
    with pytest.raises(StageError, match="no sentence that does not stand in a test file"):
        read_validation_file(path)
