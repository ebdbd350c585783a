"""Records that are written whole or not at all, and errors that reach people as one line."""

import errno
import json
import os
from pathlib import Path
from typing import ClassVar

import pytest

from dataset_builder.contract import (
    Record,
    StageError,
    Strict,
    code_version,
    run_command,
    sha256_of_file,
    sha256_of_lines,
    write_atomically,
)


class Part(Strict):
    name: str


class Example(Record):
    FILE_NAME: ClassVar[str] = "example.json"
    SCHEMA_VERSION: ClassVar[int] = 3

    title: str
    parts: list[Part]


EXAMPLE = Example(schema_version=3, title="Größe", parts=[Part(name="a")])


def fill_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the flush to disk fail as a real full device does."""

    def flush(_: int) -> None:
        with open("/dev/full", "wb", buffering=0) as full:
            full.write(b"x")

    monkeypatch.setattr(os, "fsync", flush)


class TestRecord:
    def test_round_trip_through_a_folder(self, tmp_path: Path):
        path = EXAMPLE.save(tmp_path / "new" / "folder")
        assert path == tmp_path / "new" / "folder" / "example.json"
        assert Example.load(path.parent) == EXAMPLE
        assert json.loads(path.read_text(encoding="utf-8"))["title"] == "Größe"

    def test_round_trip_through_a_file_of_another_name(self, tmp_path: Path):
        assert EXAMPLE.save(tmp_path / "mine.json") == tmp_path / "mine.json"
        assert Example.load(tmp_path / "mine.json") == EXAMPLE

    def test_is_immutable(self):
        with pytest.raises(ValueError, match="frozen"):
            EXAMPLE.title = "other"

    def test_missing_file_names_what_writes_it(self, tmp_path: Path):
        with pytest.raises(StageError, match=r"example.json does not exist. Run the stage that writes example.json"):
            Example.load(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"{", b"not json", b"\xff\xfe\x00"])
    def test_not_json(self, tmp_path: Path, content: bytes):
        (tmp_path / "example.json").write_bytes(content)
        with pytest.raises(StageError, match=r"example.json is not JSON"):
            Example.load(tmp_path)

    @pytest.mark.parametrize(
        ("content", "version"),
        [({"schema_version": 2}, "2"), ({"schema_version": "3"}, "'3'"), ({}, "None"), ([], "None"), (7, "None")],
    )
    def test_unknown_version(self, tmp_path: Path, content: object, version: str):
        (tmp_path / "example.json").write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(StageError, match=rf"has schema version {version}, and this code reads version 3"):
            Example.load(tmp_path)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"title": None}, "field 'title': input should be a valid string"),
            ({"extra": 1}, "field 'extra': extra inputs are not permitted"),
            ({"parts": [{"name": "a"}, {}]}, "field 'parts.1.name': field required"),
            ({"parts": [{"name": "a", "size": 1}]}, "field 'parts.0.size': extra inputs are not permitted"),
        ],
    )
    def test_wrong_field_is_named(self, tmp_path: Path, change: dict[str, object], message: str):
        (tmp_path / "example.json").write_text(json.dumps(EXAMPLE.model_dump() | change), encoding="utf-8")
        with pytest.raises(StageError, match=message):
            Example.load(tmp_path)

    def test_missing_field_is_named(self, tmp_path: Path):
        values = EXAMPLE.model_dump()
        del values["title"]
        (tmp_path / "example.json").write_text(json.dumps(values), encoding="utf-8")
        with pytest.raises(StageError, match=r"example.json: field 'title': field required"):
            Example.load(tmp_path)


class TestWriteAtomically:
    def test_text_bytes_and_replacement(self, tmp_path: Path):
        path = tmp_path / "a" / "file.txt"
        write_atomically(path, "ä")
        assert path.read_bytes() == b"\xc3\xa4"
        write_atomically(path, b"\x00")
        assert path.read_bytes() == b"\x00"
        assert os.listdir(path.parent) == ["file.txt"]

    def test_full_disk_keeps_the_old_file_and_leaves_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        EXAMPLE.save(tmp_path)
        fill_the_disk(monkeypatch)
        with pytest.raises(OSError, match="No space left") as caught:
            Example(schema_version=3, title="newer", parts=[]).save(tmp_path)
        assert caught.value.errno == errno.ENOSPC
        monkeypatch.undo()
        assert Example.load(tmp_path) == EXAMPLE
        assert os.listdir(tmp_path) == ["example.json"]

    def test_full_disk_leaves_no_record_where_there_was_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        fill_the_disk(monkeypatch)
        with pytest.raises(OSError, match="No space left"):
            EXAMPLE.save(tmp_path)
        assert os.listdir(tmp_path) == []

    def test_interruption_leaves_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        def interrupt(_: int) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_atomically(tmp_path / "file.txt", "half")
        assert os.listdir(tmp_path) == []


class TestHashes:
    def test_file(self, tmp_path: Path):
        """SHA-256 of `abc`, from FIPS 180-2, appendix B.1."""
        (tmp_path / "abc").write_bytes(b"abc")
        expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        assert sha256_of_file(tmp_path / "abc") == expected
        assert sha256_of_lines(["abc"]) == expected

    def test_lines_depend_on_order(self):
        assert sha256_of_lines(["a", "b"]) != sha256_of_lines(["b", "a"])

    def test_code_version_without_git(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("PATH", "")
        assert code_version() == "unknown"


def raising(error: BaseException):
    def main(_):
        raise error

    return main


class TestRunCommand:
    def test_success_is_silent(self, capsys: pytest.CaptureFixture[str]):
        seen: list[str] = []
        assert run_command(lambda given: seen.extend(given or []), ["--debug", "--name", "x"]) == 0
        assert seen == ["--name", "x"]
        assert capsys.readouterr() == ("", "")

    def test_arguments_come_from_the_command_line(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("sys.argv", ["command", "--name", "x", "--debug"])
        seen: list[str] = []
        assert run_command(lambda given: seen.extend(given or [])) == 0
        assert seen == ["--name", "x"]

    @pytest.mark.parametrize(
        ("error", "line"),
        [
            (StageError("a.csv is empty", "Give another"), "error: a.csv is empty. Give another"),
            (StageError("a.csv is empty"), "error: a.csv is empty"),
            (StageError("two\n  lines\tand  a half"), "error: two lines and a half"),
            (
                FileNotFoundError(errno.ENOENT, "No such file or directory", "a.csv"),
                "No such file or directory (a.csv)",
            ),
            (PermissionError(errno.EACCES, "Permission denied"), "error: Permission denied"),
            (OSError("the server hung up"), "error: the server hung up"),
            (
                OSError(errno.ENOSPC, "No space left on device", "a.csv"),
                "error: the disk is full (a.csv). Free some space",
            ),
            (MemoryError(), "error: out of memory. Use a smaller batch"),
        ],
    )
    def test_one_line_on_stderr_and_exit_code_2(
        self, capsys: pytest.CaptureFixture[str], error: BaseException, line: str
    ):
        assert run_command(raising(error), []) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert line in output.err
        assert output.err.count("\n") == 1

    def test_debug_shows_the_traceback_and_the_line(self, capsys: pytest.CaptureFixture[str]):
        assert run_command(raising(StageError("a.csv is empty")), ["--debug"]) == 2
        error = capsys.readouterr().err
        assert error.startswith("Traceback (most recent call last):")
        assert error.endswith("error: a.csv is empty\n")

    def test_ctrl_c(self, capsys: pytest.CaptureFixture[str]):
        assert run_command(raising(KeyboardInterrupt()), []) == 130
        assert capsys.readouterr().err.startswith("Interrupted.")

    def test_a_bug_is_not_hidden(self):
        with pytest.raises(ZeroDivisionError):
            run_command(raising(ZeroDivisionError()), [])

    def test_full_disk_while_saving_a_record(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ):
        fill_the_disk(monkeypatch)
        assert run_command(lambda _: EXAMPLE.save(tmp_path), []) == 2
        assert capsys.readouterr().err == (
            "error: the disk is full. Free some space and run the same command again; finished work is kept\n"
        )

    def test_stage_error_keeps_its_parts(self):
        error = StageError("a.csv is empty", "Give another")
        assert (error.problem, error.remedy, str(error)) == (
            "a.csv is empty",
            "Give another",
            "a.csv is empty. Give another",
        )
