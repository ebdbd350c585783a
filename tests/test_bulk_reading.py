"""Many ads: texts that an encoder cannot read, files that break off, and where reading starts."""

import gzip
import itertools
import json
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bulk_parts
from bulk_parts import PartWorker
from bulk_rows import AdSource, Row
from skill_finder import SkillFinder, SkillFinderError
from tests.bulk_ads import bulk_command, texts_of, write_ads
from tests.tiny_finder import WordEncoder, tiny_finder
from token_scores import RememberingReader


@pytest.fixture
def command(monkeypatch):
    return bulk_command(monkeypatch)


class TestTexts:
    def test_half_of_an_emoji_is_replaced(self, tmp_path, command):
        ads = tmp_path / "ads.jsonl"
        ads.write_text('{"text": "You bake bread \\ud83d", "id": "\\ude00"}\n', encoding="utf-8")
        assert command(ads, tmp_path / "out.parquet", "--key-column", "id") == 0
        (row,) = pq.read_table(tmp_path / "out.parquet").to_pylist()
        assert row["key"] == "\ufffd"
        assert row["skills"][0]["label"] == "bake bread in ovens"
        assert texts_of(ads) == ["You bake bread \ufffd"]

    def test_a_text_over_the_limit_is_refused_when_it_is_read(self, tmp_path):
        """A part of 512 of them would otherwise be held until they are judged."""
        ads = write_ads(tmp_path / "ads.parquet", ["x" * 1_000_001, "x" * 1_000_000])
        long, short = AdSource(str(ads), "text").rows()
        assert long == Row(None, None, "a text of 1,000,001 characters is too long; the limit is 1,000,000")
        assert short.error is None

    def test_whatever_a_text_does_to_the_encoder_is_an_error_of_its_row(self):
        worker = PartWorker(Breaking.finder("poison"))
        rows = worker.work([Row("You bake bread"), Row("poison"), Row("You sing")], 0)
        assert [row["error"] for row in rows] == [None, "TypeError: poison", None]
        assert rows[0]["skills"]

    def test_an_encoder_that_reads_nothing_ends_the_run(self):
        """No text is to blame then, and the run can go on later."""
        worker = PartWorker(Breaking.finder(""))
        with pytest.raises(TypeError):
            worker.work([Row("You bake bread"), Row("You sing")], 0)

    def test_a_failure_is_not_remembered_as_an_empty_result(self):
        worker = PartWorker(Breaking.finder("poison"))
        for first in (0, 2):
            rows = worker.work([Row("poison"), Row(f"You sing {first}")], first)
            assert rows[0]["error"] == "TypeError: poison"

    def test_what_is_kept_holds_no_batch_and_no_text(self):
        reader = RememberingReader(tiny_finder().reader)
        reader.read(["a", "b", "c"])
        assert all(reading.vector.base is None for reading in reader._known.values())
        worker = PartWorker(tiny_finder())
        worker.work([Row("You bake bread " * 1000)], 0)
        assert all(sys.getsizeof(key) < 100 for key in worker._found)

    def test_long_texts_are_not_encoded_together(self):
        """64 texts of a million characters would have millions of passages."""
        assert [len(chunk) for chunk in bulk_parts.text_chunks(["x" * 1000] * 130)] == [64, 64, 2]
        half = "x" * (bulk_parts.CHARS_AT_ONCE // 2 + 1)
        assert [len(chunk) for chunk in bulk_parts.text_chunks([half, half, "a", "b", 3 * half])] == [1, 3, 1]


class Breaking(WordEncoder):
    """Raises what tokenizers raise at a text that is none."""

    broken = False

    @classmethod
    def finder(cls, word):
        finder, encoder = tiny_finder(), cls()
        encoder.words, encoder.word = finder.encoder.words, word
        return SkillFinder(encoder, finder.index, finder.settings)

    def encode(self, sentences):
        for sentence in sentences:
            if self.word in sentence:
                raise TypeError(sentence)
        return super().encode(sentences)


class TestReading:
    def test_a_very_long_number_is_an_error_of_its_row(self, tmp_path):
        ads = tmp_path / "ads.jsonl"
        ads.write_text('{"text": "a", "n": %s}\n{"text": "b"}\n' % ("9" * 5000), encoding="utf-8")
        first, second = AdSource(str(ads), "text").rows()
        assert "line 1" in first.error
        assert second == Row("b")

    @pytest.mark.parametrize("keep", [0.5, 0.999])
    def test_a_packed_file_that_breaks_off(self, tmp_path, keep):
        lines = "".join(json.dumps({"text": f"{i} {i * i % 977}"}) + "\n" for i in range(5000))
        whole = gzip.compress(lines.encode())
        (tmp_path / "ads.jsonl.gz").write_bytes(whole[: int(len(whole) * keep)])
        with pytest.raises(SkillFinderError, match=r"ads\.jsonl\.gz cannot be read"):
            texts_of(tmp_path / "ads.jsonl.gz")
        (tmp_path / "ads.jsonl.gz").write_bytes(whole[:500] + b"\xff" * 500 + whole[1000:])
        with pytest.raises(SkillFinderError, match=r"ads\.jsonl\.gz cannot be read"):
            texts_of(tmp_path / "ads.jsonl.gz")

    def test_a_parquet_file_with_a_broken_page(self, tmp_path, command, capsys):
        """The error is a line of its own below the bar of progress."""
        texts = [f"{i} {i * i % 977}" for i in range(2000)]
        ads = write_ads(tmp_path / "ads.parquet", texts, row_group_size=1000)
        data = bytearray(ads.read_bytes())
        start = pq.read_metadata(ads).row_group(1).column(0).data_page_offset
        data[start : start + 200] = b"\xff" * 200
        ads.write_bytes(bytes(data))
        with pytest.raises(SkillFinderError, match=r"ads\.parquet cannot be read"):
            texts_of(ads)
        assert command(ads, tmp_path / "out.parquet") == 2
        last = capsys.readouterr().err.rstrip("\n").split("\n")[-1]
        assert last.startswith(f"error: {ads} cannot be read")

    def test_a_parquet_string_that_is_no_utf8(self, tmp_path):
        """Some writers put Latin-1 bytes into string columns; one of them must not end the run."""
        bad = pa.array([b"caf\xe9", b"bake", None], pa.binary()).view(pa.string())
        pq.write_table(pa.table({"text": bad}), tmp_path / "ads.parquet")
        assert texts_of(tmp_path / "ads.parquet") == ["caf\ufffd", "bake", None]

    def test_the_ending_of_a_packed_file_may_be_in_capitals(self, tmp_path):
        with gzip.open(tmp_path / "ADS.CSV.GZ", "wt", encoding="utf-8") as file:
            file.write("text\nYou bake bread\n")
        assert texts_of(tmp_path / "ADS.CSV.GZ") == ["You bake bread"]

    def test_a_column_that_no_line_has_is_misspelt(self, tmp_path, command, capsys):
        ads = tmp_path / "ads.jsonl"
        ads.write_text('{"id": 1}\n{"id": 2, "txt": "a"}\n', encoding="utf-8")
        assert command(ads, tmp_path / "out.parquet") == 2
        assert "has no column 'text' (found: id, txt)" in capsys.readouterr().err
        assert not (tmp_path / "out.parquet.parts").exists()

    @pytest.mark.parametrize("option", [("--top-k", "0"), ("--workers", "0"), ("--threshold", "nan")])
    def test_numbers_out_of_range_are_refused_before_the_work(self, tmp_path, command, capsys, option):
        assert command(write_ads(tmp_path / "ads.parquet", ["a"]), tmp_path / "out.parquet", *option) == 2
        assert option[0] in capsys.readouterr().err

    def test_a_folder_without_ads_and_a_file_that_is_not_there(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "data" / "ads").mkdir(parents=True)
        with pytest.raises(SkillFinderError, match="holds none of"):
            list(AdSource("data/ads", "text").rows())
        with pytest.raises(SkillFinderError, match="neither a file"):
            list(AdSource("data/ads.csv", "text").rows())

    @pytest.mark.parametrize("start", [0, 1, 3, 4, 5, 9, 10])
    def test_rows_from_a_number_on(self, tmp_path, start):
        """Parquet skips whole row groups, here of 2 rows."""
        write_ads(tmp_path / "a.parquet", list("abcde"), row_group_size=2)
        write_ads(tmp_path / "b.parquet", list("fghi"), row_group_size=2)
        (tmp_path / "c.csv").write_text("text\nj\n", encoding="utf-8")
        rows = AdSource(str(tmp_path), "text").rows(start)
        assert "".join(row.text for row in rows) == "abcdefghij"[start:]

    def test_row_groups_before_the_start_are_not_read(self, tmp_path, monkeypatch):
        ads = write_ads(tmp_path / "a.parquet", list("abcdef"), row_group_size=2)
        groups = []
        iter_batches = pq.ParquetFile.iter_batches

        def seen(self, *args, **kwargs):
            groups.extend(kwargs["row_groups"])
            return iter_batches(self, *args, **kwargs)

        monkeypatch.setattr(pq.ParquetFile, "iter_batches", seen)
        rows = AdSource(str(ads), "text").rows(3)
        assert "".join(row.text for row in itertools.islice(rows, 3)) == "def"
        assert groups == [1, 2]


def test_a_comma_outside_quotes_is_an_error_of_its_row(tmp_path):
    """Half of an ad would be read as the whole of it; of an empty cell more nothing is lost."""
    file = tmp_path / "ads.csv"
    file.write_text("id,text\n1,We bake, fry and grill\n2,You bake,\n3,You fry, \n", encoding="utf-8")
    rows = list(AdSource(str(file), "text", "id").rows())
    assert rows == [Row(None, "1", "line 2 has more cells than the header"), Row("You bake", "2"), Row("You fry", "3")]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ('1,We bake\n2,"We fry\n3,We grill\n4,We boil\n', "line 3"),
        ('1,"We "bake"\n\n2,"We "fry"\n3,"We grill\n4,We boil\n', "line 5"),
    ],
)
def test_a_quote_that_is_never_closed_ends_the_run(tmp_path, command, capsys, rows, says):
    """It would take all rows that follow into one cell."""
    file = tmp_path / "ads.csv"
    file.write_text(f"id,text\n{rows}", encoding="utf-8")
    assert command(file, tmp_path / "out.parquet") == 2
    assert f"error: {file} {says}: a quotation mark is never closed" in capsys.readouterr().err
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ('1,We bake\n2,"We fry" \n3,We grill\n', ["We bake", "line 3", "We grill"]),
        ('1,"We \\"bake\\" bread"\n2,"We fry"\n', ["line 2", "We fry"]),
        ('1,"We bake\nand fry" \n2,We grill\n', ["lines 2 to 3", "We grill"]),
        ('1,We bake\n2,"We fry\n3,We "grill"\n4,We boil\n', ["We bake", "lines 3 to 4", "We boil"]),
        ('1,"We bake\n2,"We fry"\n', ["lines 2 to 3"]),
    ],
)
def test_a_broken_quote_swallows_no_row(tmp_path, rows, expected):
    """Up to the next quote they would be one cell: each line that is not read is told."""
    file = tmp_path / "ads.csv"
    file.write_text(f"id,text\n{rows}", encoding="utf-8")
    says = ": ',' expected after '\"'"
    rows = list(AdSource(str(file), "text").rows())
    assert [row.text or (row.error or "").removesuffix(says) for row in rows] == expected


def test_a_row_with_a_broken_quote_ends_no_run(tmp_path, command):
    """Of the only column too, as Spark writes it; numbers of rows stay."""
    file = tmp_path / "ads.csv"
    file.write_text('text\n"We bake" \n"We \\"fry\\""\n"You know SQL"\n', encoding="utf-8")
    assert command(file, tmp_path / "out.parquet") == 0
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [(row["error"] or "")[:7] for row in rows] == ["line 2:", "line 3:", ""]
    assert [skill["label"] for skill in rows[2]["skills"]] == ["SQL"]
    assert AdSource(str(file), "text").count() == 3
    assert next(AdSource(str(file), "text").rows(2)) == Row("You know SQL")


@pytest.mark.parametrize(
    ("header", "says"), [('id,"text', "a quotation mark is never closed"), ('id,"text" ', "',' expected")]
)
def test_a_broken_quote_in_the_header(tmp_path, header, says):
    (tmp_path / "ads.csv").write_text(f"{header}\n1,We bake\n", encoding="utf-8")
    with pytest.raises(SkillFinderError, match=rf"ads\.csv line 1: {says}"):
        texts_of(tmp_path / "ads.csv")


def test_a_row_without_its_text_keeps_its_key(tmp_path):
    (tmp_path / "ads.jsonl").write_text('{"text": "a", "id": 1}\n{"id": 2}\n[3]\n', encoding="utf-8")
    rows = list(AdSource(str(tmp_path / "ads.jsonl"), "text", "id").rows())
    assert [row.key for row in rows] == ["1", "2", None]
    assert [row.error for row in rows] == [None, "line 2 has no field 'text'", "line 3 has no field 'text'"]


@pytest.mark.parametrize("name", ["b.parquet", "b.csv", "b.jsonl"])
def test_a_column_that_a_later_file_lacks_is_told_before_the_work(tmp_path, command, capsys, name):
    ads = tmp_path / "ads"
    ads.mkdir()
    write_ads(ads / "a.parquet", ["You bake bread"])
    if name == "b.parquet":
        pq.write_table(pa.table({"body": ["You sing"]}), ads / name)
    else:
        (ads / name).write_text('{"body": "You sing"}\n' if name == "b.jsonl" else "body\nYou sing\n", encoding="utf-8")
    assert command(ads, tmp_path / "out.parquet") == 2
    assert f"{name} has no column 'text' (found: body)" in capsys.readouterr().err
    assert not (tmp_path / "out.parquet.parts").exists()


def test_bytes_of_windows_are_read_as_windows_writes_them(tmp_path):
    """A bullet is 0x95 there, and a text may hold both kinds; 0x81 is nothing in either."""
    file = tmp_path / "ads.csv"
    file.write_bytes("text\n• Bäcker\n".encode("cp1252") + "• Köln\n".encode() + b"a \x81 b\n")
    assert [row.text for row in AdSource(str(file), "text").rows()] == ["• Bäcker", "• Köln", "a \ufffd b"]


def test_hidden_folders_and_folders_called_like_files(tmp_path):
    for place in (".ipynb_checkpoints/a-checkpoint.csv", "a.csv", "day1.parquet/part-0.csv"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text(f"text\n{place}\n", encoding="utf-8")
    assert [row.text for row in AdSource(str(tmp_path), "text").rows()] == ["a.csv", "day1.parquet/part-0.csv"]


def test_near_duplicates_come_on_request(tmp_path, command):
    """Both skills about shifts are close, and one stands for the other unless all are asked for."""
    ads = write_ads(tmp_path / "ads.parquet", ["plan shifts of staff employees"])
    found = []
    for options in ((), ("--all",)):
        assert command(ads, tmp_path / "out.parquet", *options) == 0
        (row,) = pq.read_table(tmp_path / "out.parquet").to_pylist()
        found.append([skill["label"] for skill in row["skills"]])
    assert found == [["plan shifts of staff employees"], ["plan shifts of staff employees", "plan shifts of employees"]]
