"""What a user of the build command meets: a wrong key, a full disk, a damaged journal, a budget in dollars."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dataset_builder import build, dataset_folder
from dataset_builder.contract import EXIT_USER_ERROR, run_command
from dataset_builder.journal import Journal
from dataset_builder.schema import DatasetManifest
from dataset_builder.stub_server import StubBehaviour, StubServer

SKILLS = 12
KEY = "sk-very-secret-0123456789"


@pytest.fixture
def arguments(tmp_path):
    rows = "".join(f'urn:{n},"label {n}, as it is "\n' for n in range(SKILLS))
    (tmp_path / "skills.csv").write_text(f"id,label\n{rows}")
    given = ["--esco", tmp_path / "skills.csv", "--out", tmp_path / "d", "--version", "0.1.0", "--model", "stub"]
    given += ["--provider", "stub", "--concurrency", "2"]
    return lambda url, *more: [str(one) for one in [*given, "--base-url", url, *more]]


def one_line(capsys):
    lines = capsys.readouterr().err.strip().splitlines()
    # The progress bar writes to stderr as well, each state after a carriage return.
    return [line for line in lines if line.startswith("error:")]


@pytest.mark.parametrize(("status", "words"), [(401, "Check OPENAI_API_KEY"), (404, "Check --model")])
def test_a_wrong_key_or_model_is_one_line_at_the_first_reply(arguments, tmp_path, capsys, status, words):
    with StubServer(StubBehaviour(status=status)) as server:
        assert run_command(build.main, arguments(server.url, "--concurrency", "1")) == EXIT_USER_ERROR
        assert server.requests == 1
    (error,) = one_line(capsys)
    assert words in error
    assert not (tmp_path / "d").exists()


def test_a_key_that_cannot_be_one_is_one_line_before_anything_is_sent(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-vëry-secret")
    with StubServer() as server:
        assert run_command(build.main, arguments(server.url)) == EXIT_USER_ERROR
        assert server.requests == 0
    (error,) = one_line(capsys)
    assert error.startswith("error: OPENAI_API_KEY holds a character that no key has, at place 5")
    assert not (tmp_path / "d").exists()


def test_what_was_repaired_is_said_and_in_the_manifest(arguments, tmp_path, capsys):
    """Each of 12 labels has a comma and a space at its end, and none has a description."""
    with StubServer() as server:
        build.main(arguments(server.url))
    assert "labels with outer whitespace stripped: 12; labels with commas: 12" in capsys.readouterr().out
    assert DatasetManifest.load(tmp_path / "d").esco.notes == {
        "labels with outer whitespace stripped": 12,
        "labels with commas": 12,
        "skills without description": 12,
        "preferred labels shared by several skills": 0,
    }


def test_two_builds_of_one_journal_do_not_pay_twice(arguments, tmp_path, repo, capsys):
    """The second one ends with one line while the first runs, and takes its replies from the journal afterwards."""
    with StubServer(StubBehaviour(latency_s=0.5)) as server:
        command = [sys.executable, "-m", "dataset_builder.build", *arguments(server.url)]
        first = subprocess.Popen(command, cwd=repo, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 300
        while not server.requests and first.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.01)
        assert run_command(build.main, arguments(server.url)) == EXIT_USER_ERROR
        assert "another build is using journal" in one_line(capsys)[0]
        assert first.wait(300) == 0
        build.main(arguments(server.url))
        assert "unchanged" in capsys.readouterr().out
        assert server.requests == SKILLS


def test_refusals_are_failures_and_are_not_asked_again(arguments, tmp_path, capsys):
    """Two of three requests are refused: 8 of 12, more than 5%, and so they are when the command is given again.

    What is on file may be built from, and the folder may be wanted without them.
    """
    with StubServer() as server:
        answer = server._answer
        server._answer = lambda body, fault: (400, b"{}", "") if server.requests % 3 else answer(body, fault)
        for _ in range(2):
            assert run_command(build.main, arguments(server.url, "--concurrency", "1")) == EXIT_USER_ERROR
            (error,) = one_line(capsys)
            assert "8 of 12 requests failed (refused by the server: 8)" in error
            assert "Refusals are not asked again: add --most-failed 1 to build without them" in error
            assert not (tmp_path / "d").exists()
        build.main(arguments(server.url, "--journal-only"))
        build.main(arguments(server.url, "--most-failed", "1"))
        assert server.requests == SKILLS
    assert DatasetManifest.load(tmp_path / "d").skills.failed == {"refused by the server": 8}


def test_a_bad_reply_is_asked_again_twice_with_other_seeds(arguments, tmp_path):
    """12 skills, and every reply holds one line instead of four: 3 requests each, no two alike."""
    with StubServer(StubBehaviour(lines=1)) as server:
        build.main(arguments(server.url))
        assert server.requests == 3 * SKILLS == len(server.answered)
        build.main(arguments(server.url))
        assert server.requests == 3 * SKILLS
    assert DatasetManifest.load(tmp_path / "d").replies["fewer lines than asked"] == 3 * SKILLS


def test_asking_again_can_be_left_out(arguments):
    with StubServer(StubBehaviour(lines=1)) as server:
        build.main(arguments(server.url, "--asks-again", "0"))
        assert server.requests == SKILLS


def test_a_full_disk_under_the_journal_is_one_line_and_the_run_goes_on_from_there(
    arguments, tmp_path, monkeypatch, capsys
):
    """The file may hold so many pages; with more of them the same command asks only for what is not on file."""
    opened = Journal.__init__

    def small(journal, path):
        opened(journal, path)
        journal._db.execute("PRAGMA max_page_count = 3")

    with StubServer() as server:
        monkeypatch.setattr(Journal, "__init__", small)
        assert run_command(build.main, arguments(server.url)) == EXIT_USER_ERROR
        (error,) = one_line(capsys)
        assert "full. Free some space and run the same command again" in error
        monkeypatch.setattr(Journal, "__init__", opened)
        with Journal(tmp_path / "d.journal.sqlite") as journal:
            kept = len(journal)
        assert 0 < kept < SKILLS
        asked = server.requests
        build.main(arguments(server.url))
        assert server.requests - asked == SKILLS - kept
    assert DatasetManifest.load(tmp_path / "d").skills.accepted == SKILLS


def test_a_full_disk_under_the_folder_leaves_nothing_half_written(arguments, tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "pairs/validation.parquet")

    with StubServer() as server:
        monkeypatch.setattr(dataset_folder.pq, "write_table", full)
        assert run_command(build.main, arguments(server.url)) == EXIT_USER_ERROR
        (error,) = one_line(capsys)
        assert "the disk is full (pairs/validation.parquet)" in error
        assert sorted(path.name for path in tmp_path.iterdir()) == ["d.journal.sqlite", "skills.csv"]
        monkeypatch.undo()
        build.main(arguments(server.url))
        assert server.requests == SKILLS


def test_a_damaged_journal_row_is_reported_and_asked_again(arguments, tmp_path, capsys):
    with StubServer() as server:
        build.main(arguments(server.url))
        written = (tmp_path / "d" / "pairs" / "train.parquet").read_bytes()
        with Journal(tmp_path / "d.journal.sqlite") as journal:
            damage = "UPDATE entries SET text = 'You must buy this.' WHERE key IN (SELECT key FROM entries LIMIT 3)"
            journal._db.execute(damage)
        build.main(
            arguments(server.url, "--journal-only", "--out", tmp_path / "e", "--journal", tmp_path / "d.journal.sqlite")
        )
        assert "3 damaged rows of the journal were not trusted" in capsys.readouterr().out
        assert DatasetManifest.load(tmp_path / "e").skills.accepted == SKILLS - 3
        build.main(arguments(server.url))
        assert server.requests == SKILLS + 3
        assert "3 damaged rows of the journal were not trusted" in capsys.readouterr().out
        build.main(arguments(server.url))
        assert "not trusted" not in capsys.readouterr().out
    assert (tmp_path / "d" / "pairs" / "train.parquet").read_bytes() == written


def test_a_budget_in_dollars_is_not_exceeded_by_all_runs_together(arguments, tmp_path, capsys):
    """A million tokens for 1,000 dollars are a thousand for one: 1.5 dollars last for some requests."""
    budget = ["--price", "1000", "1000", "--budget-usd", "1.5"]
    with StubServer() as server:
        for _ in range(2):
            assert run_command(build.main, arguments(server.url, *budget)) == EXIT_USER_ERROR
            assert "the budget ends" in one_line(capsys)[0]
        assert 0 < server.requests < SKILLS
        build.main(arguments(server.url, *budget, "--journal-only"))
    tokens = DatasetManifest.load(tmp_path / "d").tokens
    assert 0 < tokens.cost_usd <= 1.5
    assert tokens.cost_usd == pytest.approx((tokens.prompt_tokens + tokens.completion_tokens) / 1000)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--concurrency", "0"], "--concurrency must be at least 1, not 0"),
        (["--timeout", "0"], "--timeout must be above 0"),
        (["--timeout", "nan"], "--timeout must be above 0"),
        (["--requests-per-minute", "0"], "--requests-per-minute must be above 0"),
        (["--max-tries", "-1"], "--max-tries must be at least 1"),
        (["--tokens-per-line", "0"], "--tokens-per-line must be at least 1"),
        (["--skills-limit", "0"], "--skills-limit must be at least 1"),
        (["--temperature", "-1"], "--temperature must not be below 0"),
        (["--top-p", "0"], "--top-p must be above 0"),
        (["--price", "1", "-1"], "--price must not be below 0, not -1"),
        (["--budget-tokens", "-5"], "--budget-tokens must not be below 0"),
        (["--asks-again", "-1"], "--asks-again must not be below 0"),
    ],
)
def test_numbers_that_make_no_sense_are_named(arguments, capsys, more, words):
    assert run_command(build.main, arguments("http://127.0.0.1:9/v1", *more)) == EXIT_USER_ERROR
    (error,) = one_line(capsys)
    assert words in error


def command_lines(pid):
    """Command lines of a process and its children, as anybody on the machine can read them."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[1]
            if pid in (int(folder.name), int(parent)):
                found.append((folder / "cmdline").read_text())
        except (OSError, IndexError):
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="reads /proc")
def test_the_key_is_nowhere(arguments, tmp_path, repo):
    """A whole build with the libraries' own logs at their loudest: files, output and process list are searched."""
    environment = {**os.environ, "OPENAI_API_KEY": KEY, "OPENAI_LOG": "debug", "PYTHONUNBUFFERED": "1"}
    with StubServer(StubBehaviour(latency_s=0.2, fault_share=0.3, faults=("500", "reset", "html"))) as server:
        command = [sys.executable, "-m", "dataset_builder.build", *arguments(server.url)]
        piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        child = subprocess.Popen(command, cwd=repo, env=environment, **piped)
        until = time.monotonic() + 300
        while not server.requests and child.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.01)
        seen = command_lines(child.pid)
        out, err = child.communicate(timeout=120)
        assert child.returncode == 0, err
        assert server.authorizations == {f"Bearer {KEY}"}
    assert any("dataset_builder.build" in line for line in seen)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"manifest.json", "README.md", "train.parquet", "d.journal.sqlite"} <= {path.name for path in files}
    written = [path.read_bytes().decode("latin-1") for path in files]
    assert "DEBUG" in err.upper()
    assert not any(KEY in text for text in [*seen, out, err, *written])


def test_an_unexpected_error_shows_no_key_in_its_traceback(arguments, tmp_path, repo):
    environment = {**os.environ, "OPENAI_API_KEY": KEY}
    with StubServer(StubBehaviour(status=401)) as server:
        command = [sys.executable, "-m", "dataset_builder.build", *arguments(server.url, "--debug")]
        done = subprocess.run(command, cwd=repo, env=environment, capture_output=True, text=True)
    assert done.returncode == EXIT_USER_ERROR
    assert "Traceback" in done.stderr
    assert KEY not in done.stdout + done.stderr
