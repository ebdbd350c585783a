"""The build command as people run it: from a CSV to a folder that load_dataset opens, and every way to stop."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from dataset_builder import build, languages
from dataset_builder.contract import EXIT_INTERRUPTED, StageError, run_command
from dataset_builder.journal import Journal
from dataset_builder.schema import DatasetManifest
from dataset_builder.stub_server import StubBehaviour, StubServer

HEAD = "conceptUri,preferredLabel,altLabels,description,skillType\n"
SKILLS = 12


@pytest.fixture
def esco(tmp_path):
    folder = tmp_path / "esco-v1.1.0"
    folder.mkdir()
    rows = [f"urn:{n},label {n},other {n},Does thing {n}.,skill/competence\n" for n in range(SKILLS)]
    (folder / "skills_en.csv").write_text(HEAD + "".join(rows))
    return folder


@pytest.fixture(scope="module")
def server():
    with StubServer() as running:
        yield running


def arguments(esco, out, url, *more, version="0.1.0"):
    given = ["--esco", esco, "--out", out, "--version", version, "--base-url", url, "--model", "stub"]
    return [str(value) for value in [*given, "--provider", "stub", "--concurrency", "4", *more]]


def test_a_folder_that_load_dataset_opens(esco, tmp_path, server, capsys):
    """12 skills x 4 lines = 48 sentences, each with one skill: 48 rows, split by the sentence's hash."""
    from datasets import load_dataset

    build.main(arguments(esco, tmp_path / "d", server.url))
    assert "48 pairs for 12 of 12 skills" in capsys.readouterr().out
    pairs = load_dataset(str(tmp_path / "d"))
    assert pairs["train"].num_rows + pairs["validation"].num_rows == 48
    assert pairs["train"].column_names == ["sentence", "skill", "skill_uri", "skills", "style", "family", "fold"]
    assert load_dataset(str(tmp_path / "d"), "skills")["train"].num_rows == SKILLS
    manifest = DatasetManifest.load(tmp_path / "d")
    assert (manifest.skills.requested, manifest.skills.accepted) == (12, 12)
    assert manifest.esco.version == "1.1.0"
    assert manifest.tokens.requests == 12
    card = (tmp_path / "d" / "README.md").read_text()
    assert "48 pairs" in card
    assert manifest.prompts[0].system in card


def test_two_runs_from_one_journal_give_the_same_bytes(esco, tmp_path, server):
    journal = ["--journal", str(tmp_path / "j.sqlite")]
    build.main(arguments(esco, tmp_path / "a", server.url, *journal))
    before = server.requests
    build.main(arguments(esco, tmp_path / "b", server.url, *journal, "--journal-only"))
    assert server.requests == before
    for name in ("pairs/train.parquet", "pairs/validation.parquet", "skills/skills.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_new_version_of_esco_asks_for_what_is_new_or_changed_alone(esco, tmp_path, server):
    """Of 13 skills one has another label, one another description and one is new: three of thirteen requests."""
    journal = ["--journal", str(tmp_path / "j.sqlite")]
    build.main(arguments(esco, tmp_path / "a", server.url, *journal))
    newer = tmp_path / "esco-v1.2.0"
    newer.mkdir()
    rows = (
        (esco / "skills_en.csv").read_text().replace("Does thing 3.", "Does thing 3 well.").replace("label 7", "name 7")
    )
    (newer / "skills_en.csv").write_text(f"{rows}urn:new,label new,,Does a new thing.,knowledge\n")
    before = server.requests
    build.main(arguments(newer, tmp_path / "b", server.url, *journal))
    assert server.requests - before == 3
    manifest = DatasetManifest.load(tmp_path / "b")
    assert (manifest.esco.version, manifest.skills.accepted) == ("1.2.0", 13)


def test_what_a_killed_build_left_is_cleared_and_a_running_one_is_let_be(esco, tmp_path, server):
    """Process numbers end below 2^22 on Linux, so that the first is of no process; process 1 always runs."""
    gone, running = tmp_path / f".d.{2**22 + 1}.building", tmp_path / ".d.1.building"
    for folder in (gone, running, tmp_path / ".d.notes.building"):
        folder.mkdir()
        (folder / "half.parquet").write_bytes(b"half")
    build.main(arguments(esco, tmp_path / "d", server.url))
    left = sorted(one.name for one in tmp_path.iterdir() if one.name.endswith(".building"))
    assert left == [".d.1.building", ".d.notes.building"]


def test_a_version_that_exists_is_left_as_it_is_or_refused(esco, tmp_path, server, capsys):
    build.main(arguments(esco, tmp_path / "d", server.url))
    written = (tmp_path / "d" / "manifest.json").read_bytes()
    build.main(arguments(esco, tmp_path / "d", server.url))
    assert "unchanged" in capsys.readouterr().out
    with pytest.raises(StageError, match=r"holds version 0\.1\.0 with other content"):
        build.main(arguments(esco, tmp_path / "d", server.url, "--skills-limit", "5"))
    with pytest.raises(StageError, match=r"holds version 0\.1\.0"):
        build.main(arguments(esco, tmp_path / "d", server.url, version="0.2.0"))
    assert (tmp_path / "d" / "manifest.json").read_bytes() == written
    assert not list(tmp_path.glob("*.building"))


def test_a_folder_of_something_else_is_never_written_over(esco, tmp_path, server):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "thesis.txt").write_text("ten years of work")
    with pytest.raises(StageError, match="holds no dataset"):
        build.main(arguments(esco, tmp_path / "d", server.url))
    assert (tmp_path / "d" / "thesis.txt").exists()


def test_a_dry_run_shows_requests_tokens_money_and_time_and_sends_nothing(esco, tmp_path, server, capsys):
    """12 requests: four on the first sheet and eight on the second, by the skills' hashes.

    The first sheet has 945 characters before "Skill: label 0 (Does thing 0)", 29 more, or 31 for two digits:
    round(974 / 4.2) + 8 = round(976 / 4.2) + 8 = 240 tokens; the second 911: 940 or 942 give 224 + 8 = 232.
    In: 4 x 240 + 8 x 232 = 2,816. Out: 12 x 4 lines x 20 = 960.
    Money at 1,000 and 2,000 dollars a million: 2.816 + 1.92 = 4.74. Time: 12 x 1,800 s / 4 at once = 1.5 h.
    At most: prompts half as long again, 4 x 360 + 8 x 348 = 4,224, replies of 4 x 32 + 8 = 136, each asked three times:
    12,672 and 12 x 136 x 3 = 4,896 tokens, 12.672 + 9.792 = 22.46 dollars.
    """
    given = ["--dry-run", "--price", "1000", "2000", "--seconds-per-request", "1800"]
    before = server.requests
    build.main(arguments(esco, tmp_path / "d", server.url, *given))
    assert capsys.readouterr().out.splitlines()[-6:] == [
        "requests            12",
        "tokens in / out     2,816 / 960 (estimated)",
        "money               4.74 US dollars at the given price",
        "at most             12,672 / 4,896 tokens, 22.46 US dollars (every reply at its bound, prompts 1.5 times "
        "their estimate, each asked 3 times; replies that are lost come on top)",
        "time                1.50 h at 4 at once and 1800 s a request",
        "Nothing was sent.",
    ]
    assert server.requests == before
    assert list(tmp_path.glob("*.sqlite")) == []


def test_failed_requests_have_their_file_and_the_sums_match(esco, tmp_path, capsys):
    """A server that loses every third request for good: requested = accepted + rejected + failed."""
    behaviour = StubBehaviour(fault_share=0.4, faults=("500",), seed=3)
    with StubServer(behaviour) as faulty:
        given = arguments(esco, tmp_path / "d", faulty.url, "--max-tries", "1")
        with pytest.raises(StageError, match=r"of 12 requests failed \(http 500: \d+\); replies are kept"):
            build.main(given)
        assert not (tmp_path / "d").exists()
        build.main([*given, "--journal-only"])
        shutil.rmtree(tmp_path / "d")
    with StubServer(behaviour) as faulty:
        build.main(arguments(esco, tmp_path / "d", faulty.url, "--max-tries", "1", "--most-failed", "1"))
    failed = len((tmp_path / "d" / "failed_requests.jsonl").read_text().splitlines())
    assert f"{failed} tries had no reply (http 500: {failed})" in capsys.readouterr().out
    manifest = DatasetManifest.load(tmp_path / "d")
    skills = manifest.skills
    assert skills.failed
    assert skills.accepted + sum(skills.rejected.values()) + sum(skills.failed.values()) == skills.requested == 12
    lines = [json.loads(line) for line in (tmp_path / "d" / "failed_requests.jsonl").read_text().splitlines()]
    assert len(lines) == sum(skills.failed.values())
    assert {line["class"] for line in lines} == {"http 500"}


def test_nothing_is_asked_that_a_written_folder_could_not_take_in(esco, tmp_path, capsys):
    """After an outage the folder stands without some replies: the same command asks for none, another version for them
    alone."""
    with StubServer(StubBehaviour(fault_share=0.4, faults=("500",), seed=3)) as faulty:
        more = ["--max-tries", "1", "--provider", "stub", "--most-failed", "1"]
        build.main(arguments(esco, tmp_path / "d", faulty.url, *more))
    missing = len((tmp_path / "d" / "failed_requests.jsonl").read_text().splitlines())
    with StubServer() as well:
        assert run_command(build.main, arguments(esco, tmp_path / "d", well.url, "--provider", "stub")) == 2
        assert f"{missing} requests of this plan have no reply" in capsys.readouterr().err
        assert well.requests == 0
        more = ["--provider", "stub", "--journal", str(tmp_path / "d.journal.sqlite")]
        build.main(arguments(esco, tmp_path / "e", well.url, *more, version="0.2.0"))
        assert well.requests == missing
    assert DatasetManifest.load(tmp_path / "e").skills.accepted == 12


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--families", "poem"], "no prompt family"),
        (["--families", "styled:x"], "no prompt family"),
        (["--concurrency", "0"], "at least 1"),
        (["--extra-body", "{"], "not JSON"),
        (["--extra-body", "[]"], "JSON object"),
        (["--budget-usd", "1"], "needs --price"),
        (["--round-trip-at-least", "3", "--round-trip-k", "5"], "needs --round-trip-encoder"),
        (["--round-trip-encoder", "x"], "--round-trip-k"),
        (["--skills-file", "nowhere.txt"], "does not exist"),
        (["--journal-only"], "d.journal.sqlite does not exist"),
        (["--most-failed", "2"], "a share from 0 to 1"),
        (["--budget-tokens", "9", "--extra-body", '{"max_tokens": null}'], "leaves replies without a bound"),
    ],
)
def test_what_makes_no_sense_is_one_line(esco, tmp_path, capsys, more, words):
    given = arguments(esco, tmp_path / "d", "http://127.0.0.1:9/v1", *more)
    assert run_command(build.main, given) == 2
    error = capsys.readouterr().err.strip()
    assert words in error
    assert len(error.splitlines()) == 1


def test_a_folder_may_be_where_one_stands(esco, tmp_path, server, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    build.main(arguments(esco, ".", server.url))
    assert DatasetManifest.load(tmp_path / "here").skills.accepted == 12
    assert (tmp_path / "here.journal.sqlite").is_file()


def test_more_fields_of_a_request_are_part_of_what_is_asked(esco, tmp_path, server):
    """Other replies are to be had with another field, and the old ones with none."""
    build.main(arguments(esco, tmp_path / "d", server.url))
    with Journal(tmp_path / "d.journal.sqlite") as journal:
        before = len(journal)
    given = ["--extra-body", '{"top_k": 5}', "--journal", str(tmp_path / "d.journal.sqlite")]
    build.main(arguments(esco, tmp_path / "e", server.url, *given))
    with Journal(tmp_path / "d.journal.sqlite") as journal:
        assert len(journal) == 2 * before
    manifest = DatasetManifest.load(tmp_path / "e")
    assert (manifest.language_model.extra_body, manifest.families) == ('{"top_k": 5}', {"styled": 4})


@pytest.mark.parametrize(
    ("extra", "sampling", "said"),
    [
        ({"max_tokens": None, "max_completion_tokens": 2000, "temperature": None, "top_p": None}, (None, None, 2000),
         "temperature the server's default, top-p the server's default"),
        ({"max_tokens": None, "temperature": 1}, (1, 0.9, None), "temperature 1.0, top-p 0.9"),
        ({"top_p": "auto"}, (0.7, None, 136), "temperature 0.7, top-p the server's default"),
    ],
)  # fmt: skip
def test_the_card_states_the_sampling_that_was_sent(esco, tmp_path, server, extra, sampling, said):
    """Without further fields: temperature 0.7, top-p 0.9, and 4 lines x 32 + 8 = 136 tokens."""
    build.main(arguments(esco, tmp_path / "d", server.url, "--extra-body", json.dumps(extra)))
    model = DatasetManifest.load(tmp_path / "d").language_model
    assert (model.temperature, model.top_p, model.max_tokens) == sampling
    card = (tmp_path / "d" / "README.md").read_text()
    assert (
        f"| model | `stub`, {said} |\n| further fields of a request | `{json.dumps(extra, sort_keys=True)}` |" in card
    )


def test_a_version_is_three_numbers(esco, tmp_path):
    with pytest.raises(StageError, match="not of the form"):
        build.main(arguments(esco, tmp_path / "d", "http://127.0.0.1:9/v1", version="one"))


def test_a_budget_that_ends_writes_no_folder_and_says_how_to_go_on(esco, tmp_path, server, capsys):
    given = arguments(esco, tmp_path / "d", server.url, "--budget-tokens", "1500")
    assert run_command(build.main, given) == 2
    said = capsys.readouterr()
    assert "the budget ends" in said.err
    assert "python -m dataset_builder.build" in said.out
    assert not (tmp_path / "d").exists()
    build.main(arguments(esco, tmp_path / "d", server.url, "--journal-only"))
    manifest = DatasetManifest.load(tmp_path / "d")
    assert 0 < manifest.skills.accepted < 12
    assert manifest.skills.failed == {"not sent": 12 - manifest.skills.accepted}


def test_no_room_for_temporary_files_is_one_line_that_names_their_folder(esco, tmp_path, server, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

    languages._identifier.cache_clear()
    languages._known.cache_clear()
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    before = server.requests
    assert run_command(build.main, arguments(esco, tmp_path / "d", server.url)) == 2
    where = f"cannot be unpacked in {tempfile.gettempdir()} (File too large). Free some space there"
    assert where in capsys.readouterr().err
    assert server.requests == before


def start_build(esco, out, url, repo):
    command = [sys.executable, "-m", "dataset_builder.build", *arguments(esco, out, url)]
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=repo, env={**os.environ, "PYTHONUNBUFFERED": "1"}, **quiet)


def wait_for(condition, seconds=120.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.01)


def test_ctrl_c_finishes_what_is_in_flight_and_says_how_to_go_on(esco, tmp_path, repo):
    with StubServer(StubBehaviour(latency_s=2.0)) as slow:
        child = start_build(esco, tmp_path / "d", slow.url, repo)
        wait_for(lambda: slow.requests >= 4)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=120)
        assert child.returncode == EXIT_INTERRUPTED, err
        assert "python -m dataset_builder.build" in out
        assert "Ctrl-C again" in err
        sent = slow.requests
        assert sent < 12
        build.main(arguments(esco, tmp_path / "d", slow.url))
        # Nothing that was in flight at the first Ctrl-C was lost, so nothing was asked twice.
        assert slow.requests == 12
        assert set(slow.answered.values()) == {1}


def test_killed_at_any_moment_it_goes_on_to_the_same_dataset(esco, tmp_path, repo):
    """Killed twice; each request that was answered before a kill and on file is not asked again."""
    with StubServer(StubBehaviour(latency_s=0.05)) as steady:
        build.main(arguments(esco, tmp_path / "whole", steady.url))
    with StubServer(StubBehaviour(latency_s=0.05)) as steady:
        for stop_at in (3, 8):
            child = start_build(esco, tmp_path / "killed", steady.url, repo)
            wait_for(lambda: steady.requests >= stop_at)  # noqa: B023
            child.kill()
            child.communicate()
        build.main(arguments(esco, tmp_path / "killed", steady.url))
        # In flight at a kill: at most the four of --concurrency.
        assert steady.requests <= 12 + 2 * 4
    for name in ("pairs/train.parquet", "pairs/validation.parquet", "skills/skills.parquet"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
