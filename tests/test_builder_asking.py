"""What a build sends to a server: nothing twice, bad replies again at most twice, and not faster than it may."""

import time

import pyarrow.parquet as pq
import pytest

from dataset_builder import build, sending, stub_server
from dataset_builder.chat_client import ChatClient, WaitError
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
