"""What a build sends to a server: nothing twice, bad replies again at most twice, and not faster than it may."""

import time
from itertools import count

import pyarrow.parquet as pq
import pytest

from dataset_builder import build, sending, stub_server
from dataset_builder.chat_client import ChatClient, StopError, WaitError
from dataset_builder.contract import StageError
from dataset_builder.journal import Journal
from dataset_builder.plan import make_plan
from dataset_builder.schema import PAIRS_FILES, DatasetManifest
from dataset_builder.stub_server import TEXT_FAULTS, WAITING_FAULTS, StubBehaviour, StubServer
from dataset_builder.taxonomy_csv import read_taxonomy

SKILLS = 12


@pytest.fixture
def arguments(tmp_path):
    def write(url, *more, out="d", skills=SKILLS):
        path = tmp_path / "skills.csv"
        path.write_text("id,label\n" + "".join(f"urn:{n},label {n}\n" for n in range(skills)))
        given = ["--esco", path, "--out", tmp_path / out, "--version", "0.1.0", "--model", "stub", "--base-url", url]
        given += ["--provider", "stub", "--concurrency", "4", "--journal", tmp_path / "j.sqlite", *more]
        return [str(one) for one in given]

    return write


def pairs_in(folder):
    return [row for path in PAIRS_FILES.values() for row in pq.read_table(folder / path).to_pylist()]


def test_another_filter_asks_for_nothing(arguments, tmp_path, monkeypatch):
    """Every reply says the same four lines, so that filters leave 4 rows of 48; without them all 48 are kept."""
    same = "1. You plan meals.\n2. You clean machines.\n3. Repairs of engines\n4. Gardens are in your care."
    monkeypatch.setattr(stub_server, "reply_text", lambda *_: same)
    with StubServer() as server:
        build.main(arguments(server.url))
        assert server.requests == SKILLS
        build.main(arguments(server.url, "--unfiltered", out="e"))
        assert server.requests == SKILLS
    assert len(pairs_in(tmp_path / "d")) == 4
    assert len(pairs_in(tmp_path / "e")) == 4 * SKILLS
    assert DatasetManifest.load(tmp_path / "e").filters.unfiltered


def test_json_by_schema_from_request_to_rows(arguments, tmp_path):
    """The server answers JSON only where the request has the schema: 12 x 4 lines."""
    with StubServer() as server:
        build.main(arguments(server.url, "--json-schema"))
        assert server.requests == SKILLS
    with Journal(tmp_path / "j.sqlite") as journal:
        assert {entry.text[:10] for entry in journal.entries()} == {'{"lines": '}
    manifest = DatasetManifest.load(tmp_path / "d")
    assert manifest.language_model.json_schema
    assert manifest.replies == {"as asked": SKILLS}
    rows = pairs_in(tmp_path / "d")
    assert len(rows) == 4 * SKILLS
    assert all(row["sentence"].lstrip("*-• ").startswith("You ") for row in rows)


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ("refusal", "refusal"),
        ("empty reply", "empty reply"),
        ("wrong language", "wrong language"),
        ("repeated lines", "repeated line"),
        ("truncated lines", "truncated line"),
        ("fewer lines", "fewer lines than asked"),
    ],
)
def test_a_bad_reply_is_asked_again_at_most_twice_with_other_seeds(arguments, tmp_path, fault, name):
    """Every reply has the fault but for one skill's: 11 x 3 requests with 3 seeds each, and that one alone."""
    with StubServer() as server:
        good = b'"Skill: label 0"'
        bodies, answer = [], server._answer

        def faulty(body, _):
            bodies.append(body)
            return answer(body, None if good in body else fault)

        server._answer = faulty
        build.main(arguments(server.url))
        build.main(arguments(server.url))
    assert len(bodies) == len(set(bodies)) == 3 * (SKILLS - 1) + 1
    manifest = DatasetManifest.load(tmp_path / "d")
    assert manifest.replies[name] == 3 * (SKILLS - 1)
    assert manifest.tokens.requests == 3 * (SKILLS - 1) + 1
    skills = manifest.skills
    assert skills.accepted + sum(skills.rejected.values()) == skills.requested == SKILLS


@pytest.mark.parametrize(
    ("text", "kind", "remedy"),
    [
        ("I'm sorry, but I cannot assist with that.", "refusal", "Take another model"),
        ("", "cut off", "Give a larger --tokens-per-line, or turn the model's thinking off"),
        ("First I consider what", "cut off", "Give a larger --tokens-per-line, or turn the model's thinking off"),
        ("<think>Costs", "unfinished thinking", "Give a larger --tokens-per-line, or turn the model's thinking off"),
        ("<html>", "html instead of text", "Read some in"),
    ],
)
def test_a_model_that_writes_no_line_stops_the_run(arguments, tmp_path, monkeypatch, text, kind, remedy):
    """30 of 180 replies, each ended by the bound on tokens, and what is in flight: kept, and 30 more may follow."""
    monkeypatch.setattr(stub_server, "reply_text", lambda *_: text)
    with StubServer(StubBehaviour(fault_share=1.0, faults=("truncated lines",))) as server:
        for most in (30 + 3, 2 * (30 + 3)):
            with pytest.raises(StopError) as caught:
                build.main(arguments(server.url, skills=60))
            said = str(caught.value)
            assert said.startswith(f"none of the first 30 replies had a usable line ({kind}: 30). {remedy}")
            assert said.endswith("; replies are kept, and the same command goes on")
            assert most - 6 <= server.requests <= most
            with Journal(tmp_path / "j.sqlite") as journal:
                assert len(journal) == server.requests
    assert not (tmp_path / "d").exists()


def test_a_plan_without_a_line_on_file_is_no_run_to_stop(arguments):
    """12 x 3 replies: 30 in a first run, six in a second. Then nothing is asked, and what was wrong is said."""
    with StubServer(StubBehaviour(fault_share=1.0, faults=("refusal",))) as server:
        with pytest.raises(StopError, match="none of the first 30"):
            build.main(arguments(server.url, "--concurrency", "1"))
        assert server.requests == 30
        for more in ([], [], ["--journal-only"]):
            with pytest.raises(StageError, match=r"none of 36 replies had a usable line \(refusal: 36\)"):
                build.main(arguments(server.url, *more))
            assert server.requests == 36


def test_one_usable_line_among_the_first_replies_lets_the_run_go_on(arguments, tmp_path, capsys):
    """20 skills x 3 replies, of which the tenth skill's third alone, the 30th of all, has lines.

    Errors that pass are no replies: there are as many before each reply.
    """
    numbers = count(1)
    with StubServer(StubBehaviour(retry_after_s=0.001)) as server:
        turns = (fault for number in numbers for fault in ("429 with retry-after", None if number == 30 else "refusal"))
        server._fault = lambda: next(turns)
        build.main(arguments(server.url, "--concurrency", "1", skills=20))
        assert server.faults["refusal"] == 59
    assert DatasetManifest.load(tmp_path / "d").replies == {"as asked": 1, "refusal": 59}
    assert "unusable=59" in capsys.readouterr().err


def test_a_round_of_hopeless_skills_alone_is_not_stopped(arguments, tmp_path):
    """12 skills have four lines each, and nine are wanted: the second round's 36 replies all refuse."""
    with StubServer() as server:
        server._fault = lambda: "refusal" if server.requests > SKILLS else None
        build.main(arguments(server.url, "--at-least", "9", "--rounds", "1"))
    assert DatasetManifest.load(tmp_path / "d").replies == {"as asked": SKILLS, "refusal": 3 * SKILLS}


@pytest.mark.parametrize("concurrency", [4, 16])
def test_one_retry_after_holds_up_every_worker(arguments, monkeypatch, concurrency):
    """One 429 that says half a second: what is sent after it comes is sent half a second later, by whomever.

    The other replies come back meanwhile; 16 places have two workers more, who wait for a place at that moment.
    """
    told, sent = [], []
    ask = ChatClient.ask

    async def watched(self, **request):
        sent.append(time.monotonic())
        try:
            return await ask(self, **request)
        except WaitError:
            told.append(time.monotonic())
            raise

    monkeypatch.setattr(ChatClient, "ask", watched)
    with StubServer(StubBehaviour(retry_after_s=0.5)) as server:

        def first_is_crowded():
            server.behaviour.latency_s = 0.0 if server.requests == 1 else 0.2
            return "429 with retry-after" if server.requests == 1 else None

        server._fault = first_is_crowded
        build.main(arguments(server.url, "--concurrency", str(concurrency), skills=40))
        assert server.requests == 41
    assert len(told) == 1
    later = [moment - told[0] for moment in sent if moment > told[0]]
    assert len(later) >= 41 - concurrency
    assert min(later) >= 0.5


def test_tokens_a_minute_pace_the_requests(arguments, tmp_path):
    """At five requests' tokens a second the bucket of five seconds holds 25 requests: 10 more take two seconds.

    A reply counts by its bound before it is there, here the 2,000 tokens of a further field.
    """
    moments, fields = [], ["--extra-body", '{"max_tokens": null, "max_completion_tokens": 2000}']
    with StubServer() as server:
        given = arguments(server.url, skills=35)
        (ask, *_) = asks = make_plan(read_taxonomy(tmp_path / "skills.csv"), {"styled": 4}).asks
        largest = max(one.prompt_tokens + 2000 for one in asks)
        server._fault = lambda: moments.append(time.monotonic())
        build.main([*given, "--tokens-per-minute", str(5 * 60 * largest), *fields])
    assert len(moments) == 35
    assert ask.prompt_tokens > 100
    assert moments[-1] - moments[0] >= 1.5


def test_every_kind_of_fault_ends_in_a_folder_that_load_dataset_opens(arguments, tmp_path, monkeypatch):
    """Each of 18 faults twice before the server is well: the sums match, and every skill has its lines."""
    from datasets import load_dataset

    monkeypatch.setattr(sending, "backoff_s", lambda *_: 0.01)
    every = [*WAITING_FAULTS, *TEXT_FAULTS]
    with StubServer(StubBehaviour(hang_s=9.0)) as server:
        faults = iter(2 * every)
        server._fault = lambda: next(faults, None)
        build.main(arguments(server.url, "--timeout", "3", "--max-tries", "40", skills=30))
        assert dict(server.faults) == dict.fromkeys(every, 2)
    manifest = DatasetManifest.load(tmp_path / "d")
    skills = manifest.skills
    assert skills.accepted + sum(skills.rejected.values()) + sum(skills.failed.values()) == skills.requested == 30
    assert skills.failed == {}
    assert manifest.sentences_accepted + sum(manifest.sentences_rejected.values()) == manifest.sentences_written
    for name in ("refusal", "oversized reply", "wrong language", "empty reply", "repeated line", "truncated line"):
        assert manifest.replies[name] == 2
    loaded = load_dataset(str(tmp_path / "d"))
    assert sum(split.num_rows for split in loaded.values()) == manifest.sentences_accepted > 100
    assert load_dataset(str(tmp_path / "d"), "skills")["train"].num_rows == 30
