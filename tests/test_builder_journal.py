"""The journal keeps every reply, trusts no damaged row, and survives being killed."""

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from dataset_builder.contract import EXIT_USER_ERROR, StageError, run_command
from dataset_builder.journal import REPLY, Entry, Journal, export_journal, import_journal, main


def entry(number: int, **changes) -> Entry:
    values = dict(
        key=f"key{number:03}", kind=REPLY, text="1. Ünïcode\n2. lines", finish_reason="stop", prompt_tokens=7,
        completion_tokens=3, settled=True, about=f"styled@1.0 skill{number} #0",
    )  # fmt: skip
    return Entry(**{**values, **changes})


def test_what_is_put_comes_back(tmp_path):
    with Journal(tmp_path / "deep" / "j.sqlite") as journal:
        journal.put(entry(1, settled=False))
        assert journal.get("key001") == entry(1, settled=False)
        assert journal.get("key002") is None
    with Journal(tmp_path / "deep" / "j.sqlite") as journal:
        assert list(journal.entries()) == [entry(1, settled=False)]


@pytest.mark.parametrize("column", ["text", "finish_reason", "prompt_tokens", "settled", "checksum", "kind"])
def test_a_damaged_row_counts_as_absent_and_is_reported(tmp_path, column):
    with Journal(tmp_path / "j.sqlite") as journal:
        journal.put_many([entry(1), entry(2)])
        journal._db.execute(f"UPDATE entries SET {column} = 0 WHERE key = 'key001'")
        assert journal.get("key001") is None
        assert journal.corrupt == {"key001"}
        assert [one.key for one in journal.entries()] == ["key002"]
        journal.put(entry(1))
        assert journal.get("key001") == entry(1)
        assert journal.corrupt == set()
        assert journal.damaged == {"key001"}


@pytest.mark.parametrize("damage", ["X'00ff'", "CAST(X'ff41' AS TEXT)", "NULL", "7.5"])
@pytest.mark.parametrize("column", ["text", "about", "prompt_tokens"])
def test_damage_of_any_kind_is_reported_and_the_other_rows_are_read(tmp_path, column, damage):
    """Bytes where text should be, text that is no UTF-8, nothing, another number."""
    with Journal(tmp_path / "j.sqlite") as journal:
        journal.put_many([entry(1), entry(2)])
        journal._db.execute(f"UPDATE entries SET {column} = {damage} WHERE key = 'key001'")
        assert journal.get_many(["key001", "key002", "key003"]) == {"key002": entry(2)}
        assert journal.corrupt == {"key001"}
        journal.put(entry(1))
        assert journal.get_many(["key001", "key002"]) == {"key001": entry(1), "key002": entry(2)}


@pytest.mark.parametrize("text", ["plain", 'quotes " and \\ and \n', "Ünï 😀 \u2028 \x00", ""])
@pytest.mark.parametrize("settled", [True, False])
def test_the_checksum_is_that_of_the_row_as_json(text, settled):
    """Journals of earlier versions carry it, so it may never change."""
    one = entry(1, text=text, settled=settled)
    expected = json.dumps([one.key, REPLY, text, "stop", 7, 3, settled, one.about]).encode()
    assert one.checksum == hashlib.sha256(expected).hexdigest()[:16]


def test_a_damaged_key_is_reported_though_nobody_asks_for_it(tmp_path):
    with Journal(tmp_path / "j.sqlite") as journal:
        journal.put_many([entry(1), entry(2)])
    with Journal(tmp_path / "j.sqlite") as journal:
        journal._db.execute("UPDATE entries SET key = 'kez001' WHERE key = 'key001'")
        assert list(journal.get_many(["key001", "key002"])) == ["key002"]
        assert journal.damaged == set()
        journal.look_for_damage()
        assert journal.damaged == {"kez001"}


def test_a_journal_with_a_damaged_page_is_salvaged(tmp_path, capsys):
    """3,000 rows of some 150 bytes, two dozen a page of 4,096: one page and one more may be lost with it."""
    entries = [
        entry(number, key=hashlib.sha256(bytes([number % 256, number // 256])).hexdigest()) for number in range(3000)
    ]
    old, new = tmp_path / "old.sqlite", tmp_path / "new.sqlite"
    with Journal(old) as journal:
        journal.put_many(entries)
    content = bytearray(old.read_bytes())
    content[40 * 4096 : 41 * 4096] = bytes(4096)
    old.write_bytes(content)
    with (
        Journal(old) as journal,
        pytest.raises(StageError, match=r"malformed\. Save what can be read: .* salvage .*old"),
    ):
        journal.get_many([one.key for one in entries])
    main(["salvage", str(old), str(new)])
    with Journal(new) as journal:
        saved = list(journal.entries())
    assert set(saved) < set(entries)
    assert len(saved) >= 3000 - 60
    assert f"copied {len(saved):,} replies; 0." in capsys.readouterr().out
    assert run_command(main, ["salvage", str(old), str(old)]) == EXIT_USER_ERROR
    old.write_bytes(bytes(40960))
    assert run_command(main, ["salvage", str(old), str(new)]) == EXIT_USER_ERROR
    assert "can be read" in capsys.readouterr().err


def test_a_journal_is_held_by_one_build_and_read_by_all(tmp_path):
    path = tmp_path / "j.sqlite"
    with Journal(path) as journal:
        journal.hold()
        journal.hold()
        journal.put(entry(1))
        with Journal(path) as reader:
            assert reader.get("key001") == entry(1)
            with pytest.raises(StageError, match=r"another build is using journal .*j.sqlite. Wait for it"):
                reader.hold()
        journal.put(entry(2))
    with Journal(path) as next_one:
        next_one.hold()
        assert len(next_one) == 2


def test_a_file_that_is_no_journal_is_an_error(tmp_path):
    (tmp_path / "j.sqlite").write_bytes(b"something else entirely, and long enough to be looked at" * 20)
    with pytest.raises(StageError, match="file is not a database"):
        Journal(tmp_path / "j.sqlite")


def test_a_full_disk_is_one_line_and_keeps_what_was_written(tmp_path):
    with Journal(tmp_path / "j.sqlite") as journal:
        journal.put(entry(1))
        pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
        journal._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StageError, match="full"):
            journal.put_many([entry(number, text="x" * 9_000) for number in range(2, 40)])
    with Journal(tmp_path / "j.sqlite") as journal:
        assert journal.get("key001") == entry(1)


def test_export_and_import_give_the_same_entries_and_keep_newer_ones(tmp_path):
    with Journal(tmp_path / "a.sqlite") as journal:
        journal.put_many([entry(number) for number in range(5)])
    with Journal(tmp_path / "b.sqlite") as journal:
        journal.put(entry(1, text="already here"))
    assert export_journal(tmp_path / "a.sqlite", tmp_path / "replies.parquet") == (5, 0)
    assert import_journal(tmp_path / "b.sqlite", tmp_path / "replies.parquet") == 4
    with Journal(tmp_path / "b.sqlite") as journal:
        assert len(journal) == 5
        assert journal.get("key001").text == "already here"
        assert journal.get("key002") == entry(2)


def test_two_exports_of_one_journal_are_the_same_bytes(tmp_path):
    with Journal(tmp_path / "a.sqlite") as journal:
        journal.put_many([entry(number) for number in (3, 1, 2)])
    export_journal(tmp_path / "a.sqlite", tmp_path / "1.parquet")
    export_journal(tmp_path / "a.sqlite", tmp_path / "2.parquet")
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()


def test_the_command_says_what_it_did(tmp_path, capsys):
    with Journal(tmp_path / "a.sqlite") as journal:
        journal.put(entry(1))
    main(["export", str(tmp_path / "a.sqlite"), str(tmp_path / "r.parquet")])
    main(["import", str(tmp_path / "new.sqlite"), str(tmp_path / "r.parquet")])
    assert capsys.readouterr().out == "exported 1 replies\nimported 1 replies\n"


def test_an_export_says_which_rows_it_left_out(tmp_path, capsys):
    """Of three rows one is damaged: two are exported."""
    with Journal(tmp_path / "a.sqlite") as journal:
        journal.put_many([entry(number) for number in range(3)])
        journal._db.execute("UPDATE entries SET text = 'changed' WHERE key = 'key001'")
    assert export_journal(tmp_path / "a.sqlite", tmp_path / "r.parquet") == (2, 1)
    main(["export", str(tmp_path / "a.sqlite"), str(tmp_path / "r.parquet")])
    said = capsys.readouterr()
    assert said.out == "exported 2 replies\n"
    assert said.err == f"warning: 1 damaged rows of {tmp_path / 'a.sqlite'} were left out\n"


def test_wrong_files_are_errors(tmp_path):
    with pytest.raises(StageError, match="does not exist"):
        export_journal(tmp_path / "none.sqlite", tmp_path / "r.parquet")
    (tmp_path / "r.parquet").write_text("no parquet")
    with pytest.raises(StageError, match="cannot be read"):
        import_journal(tmp_path / "a.sqlite", tmp_path / "r.parquet")


def test_a_killed_writer_loses_nothing_that_it_had_reported(tmp_path):
    """The child prints each key after put returned; all printed keys must be there after SIGKILL."""
    path = tmp_path / "j.sqlite"
    code = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from dataset_builder.journal import Entry, Journal\n"
        "journal = Journal(sys.argv[1])\n"
        "for n in range(100000):\n"
        "    journal.put(Entry(f'k{n}', 'reply', 'text', 'stop', 1, 1, True, 'about')); print(n, flush=True)\n"
    )
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    child = subprocess.Popen([sys.executable, "-c", code, str(path), root], stdout=subprocess.PIPE, text=True)
    last = [child.stdout.readline() for _ in range(50)][-1]
    child.send_signal(signal.SIGKILL)
    rest = child.stdout.read().split()
    child.wait()
    reported = int(rest[-1] if rest and rest[-1].isdigit() else last)
    with Journal(path) as journal:
        assert all(journal.get(f"k{number}") for number in range(reported))
        assert journal._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert sqlite3.connect(path).execute("SELECT COUNT(*) FROM entries").fetchone()[0] >= reported


def test_after_a_write_that_fails_nothing_of_it_is_there_and_the_next_one_is(tmp_path):
    """A half of an emoji is no UTF-8: the transaction is over, and its other entry is not on file."""
    with Journal(tmp_path / "j.sqlite") as journal:
        with pytest.raises(UnicodeEncodeError):
            journal.put_many([entry(1), entry(2, text="\ud83d")])
        journal.put(entry(3))
        assert list(journal.entries()) == [entry(3)]
