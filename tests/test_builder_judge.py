"""Judging a sample, and the card that states the result."""

import asyncio
import csv
import http.server
import json
import re
import threading
from dataclasses import replace

import pytest

from dataset_builder import card, judge
from dataset_builder.chat_client import ChatClient
from dataset_builder.contract import StageError
from dataset_builder.dataset_folder import write_tables
from dataset_builder.esco import EscoRelease, Skill
from dataset_builder.judge import sample_pairs, verdict_of
from dataset_builder.judged_files import (
    BY_LLM,
    COLUMNS_BY_HAND,
    COLUMNS_BY_LLM,
    Judged,
    by_hand_file,
    read_accuracy,
    write_judged,
)
from dataset_builder.quality import wilson_interval
from dataset_builder.schema import DatasetManifest
from dataset_builder.sentences import Sentence
from dataset_builder.stub_server import StubBehaviour, StubServer
from tests.small_dataset import small_manifest

SKILLS = tuple(Skill(uri=f"urn:{n}", label=f"label {n}", description=f"Means {n}.") for n in range(10))
RELEASE = EscoRelease(version="1", language="en", skills=SKILLS)


@pytest.fixture
def dataset(tmp_path):
    sentences = [Sentence(f"Line {n} of skill {n % 10}.", (SKILLS[n % 10],), "duty", "styled") for n in range(100)]
    small_manifest(write_tables(tmp_path, sentences, RELEASE.skills)).save(tmp_path)
    return tmp_path


def test_the_sample_is_the_same_at_every_call_and_knows_the_descriptions(dataset):
    pairs = sample_pairs(dataset, RELEASE, 20)
    assert len(pairs) == 20
    assert pairs == sample_pairs(dataset, RELEASE, 20)
    assert all(pair.description == f"Means {pair.skill.split()[1]}." for pair in pairs)
    # A random sample, not the first rows: it reaches most of the ten skills.
    assert len({pair.skill for pair in pairs}) >= 5


def test_another_taxonomy_is_an_error(dataset):
    with pytest.raises(StageError, match="no skill of this ESCO release"):
        sample_pairs(dataset, EscoRelease(version="2", language="en", skills=SKILLS[:1]), 20)
    with pytest.raises(StageError, match="does not exist"):
        sample_pairs(dataset / "nowhere", RELEASE)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [("Yes.", "yes"), ("**No**, it asks", "no"), ("Maybe", "unclear"), ("", "unclear"), ("<think>Yes", "unclear")],
)
def test_the_first_word_decides(text, verdict):
    assert verdict_of(text) == verdict


def test_accuracy_counts_unclear_as_wrong_and_leaves_out_what_nobody_judged(tmp_path):
    """yes, yes, no, unclear and one without verdict: 2 of 4 are right."""
    pairs = [Judged("=1+1 is a line", "s", "d", verdict) for verdict in ("yes", "yes", "no", "unclear", "")]
    write_judged(tmp_path / "j.csv", pairs)
    accuracy = read_accuracy(tmp_path / "j.csv")
    assert (accuracy.right, accuracy.judged, accuracy.share) == (2, 4, 0.5)
    with (tmp_path / "j.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["sentence"] == "'=1+1 is a line"


@pytest.mark.parametrize(
    ("text", "by_llm", "by_hand"),
    [("- Cost plans", "- Cost plans", "'- Cost plans"), ("-1 is a line", "'-1 is a line", "'-1 is a line")],
)
def test_a_bullet_stays_a_bullet_where_programs_read(tmp_path, text, by_llm, by_hand):
    for columns, cell in ((COLUMNS_BY_LLM, by_llm), (COLUMNS_BY_HAND, by_hand)):
        write_judged(tmp_path / "j.csv", [Judged(text, "s", "d")], columns)
        with (tmp_path / "j.csv").open(newline="") as file:
            assert next(csv.DictReader(file))["sentence"] == cell


@pytest.mark.parametrize(
    ("text", "words"),
    [("sentence\nx\n", "no column 'verdict'"), ("verdict\nperhaps\n", "line 2"), ("verdict\n\n", "no verdict yet")],
)
def test_a_file_that_cannot_be_counted_is_an_error(tmp_path, text, words):
    (tmp_path / "j.csv").write_text(text)
    with pytest.raises(StageError, match=words):
        read_accuracy(tmp_path / "j.csv")


def test_a_file_in_another_encoding_is_one_line(tmp_path):
    (tmp_path / "j.csv").write_bytes("sentence,verdict\ncaf\u00e9,yes\n".encode("cp1252"))
    with pytest.raises(StageError, match=r"j\.csv is not UTF-8 text \(.*\)\. Save it as CSV in UTF-8"):
        read_accuracy(tmp_path / "j.csv")


def test_a_server_that_does_not_judge_is_an_error(dataset):
    """The stub answers with lines of a job ad, whose first word is neither yes nor no; another refuses to answer."""
    pairs = sample_pairs(dataset, RELEASE, 12)
    with StubServer() as server:
        with pytest.raises(StageError, match="12 of 12 verdicts are neither yes nor no"):
            asyncio.run(judge.judge_pairs(pairs, ChatClient(server.url, "stub")))
        assert server.requests == 12
    refused = r"refused 2 of 2 pairs \(http 400: .*the stub says no\)\. Give it what it asks for with --extra-body"
    with StubServer(StubBehaviour(status=400)) as server, pytest.raises(StageError, match=refused):
        asyncio.run(judge.judge_pairs(pairs[:2], ChatClient(server.url, "stub")))


def test_a_server_with_other_fields_is_given_them_and_a_judge_that_thinks_has_room(dataset, tmp_path_factory, capsys):
    """The server refuses max_tokens; with 500 max_completion_tokens it thinks, yes and no, and then says yes."""
    asked = []

    def answer(body, _):
        asked.append(json.loads(body))
        if "max_tokens" in asked[-1]:
            return 400, b'{"error": {"message": "Unsupported parameter"}}', ""
        text = "<think>No? 1. It asks for it.</think>\n**Yes**"
        return 200, json.dumps({"choices": [{"message": {"content": text}}]}).encode(), ""

    own = tmp_path_factory.mktemp("own") / "own.csv"
    own.write_text("id,label\n" + "".join(f"urn:{n},label {n}\n" for n in range(10)))
    with StubServer() as server:
        server._answer = answer
        given = [str(dataset), "--esco", str(own), "--sample", "6", "--base-url", server.url, "--model", "/models/ours"]
        with pytest.raises(StageError, match="Unsupported parameter"):
            judge.main(given)
        assert not (dataset / BY_LLM).exists()
        asked.clear()
        judge.main([*given, "--extra-body", '{"max_tokens": null, "max_completion_tokens": 500}', "--model-name", "Us"])
    assert "6 of 6 right" in capsys.readouterr().out
    assert [one["max_completion_tokens"] for one in asked] == [500] * 12
    with (dataset / BY_LLM).open(newline="") as file:
        assert {(row["judge"], row["model"]) for row in csv.DictReader(file)} == {("Us", "ours")}
    card.main([str(dataset)])
    manifest = DatasetManifest.load(dataset)
    assert (manifest.judge, manifest.judge_model) == ("Us", "ours")
    assert (
        "judged right by `Us` (served as `ours`), whose version is not on record" in (dataset / "README.md").read_text()
    )
    with pytest.raises(StageError, match="--extra-body must be a JSON object"):
        judge.main([*given, "--extra-body", "[]"])


def test_an_outage_is_an_error_and_not_a_verdict(dataset, monkeypatch):
    monkeypatch.setattr(judge, "FIRST_WAIT_S", 0.001)
    pairs = sample_pairs(dataset, RELEASE, 3)
    with StubServer(StubBehaviour(fault_share=1.0, faults=("500",))) as server:
        with pytest.raises(StageError, match=r"no verdict after 7 tries \(http 500\)"):
            asyncio.run(judge.judge_pairs(pairs, ChatClient(server.url, "stub")))
    monkeypatch.setattr(judge, "MOST_UNCLEAR", 1.0)  # the stub's lines are no verdicts
    with StubServer(StubBehaviour(fault_share=0.3, faults=("503", "reset"))) as server:
        judged = asyncio.run(judge.judge_pairs(pairs, ChatClient(server.url, "stub")))
    assert len(judged) == 3


def test_a_quota_that_is_used_up_is_not_slept_through(dataset):
    """Eight pairs at once, each told to come back in an hour: nobody waits for that."""
    hour = StubBehaviour(fault_share=1.0, faults=("429 with retry-after",), retry_after_s=3600.0)
    with StubServer(hour) as server, pytest.raises(StageError, match=r"come back in 3,600 s \(http 429\)"):
        asyncio.run(judge.judge_pairs(sample_pairs(dataset, RELEASE, 3), ChatClient(server.url, "stub")))


def test_verdicts_before_an_outage_are_kept_and_not_asked_for_again(dataset, tmp_path_factory, monkeypatch):
    """Ten pairs and ten swapped ones; an outage after twelve verdicts: the same command asks for the other eight.

    Another model is asked about all twenty.
    """
    monkeypatch.setattr(judge, "FIRST_WAIT_S", 0.001)
    own = tmp_path_factory.mktemp("esco") / "own.csv"
    own.write_text("id,label,description\n" + "".join(f"urn:{n},label {n},Means.\n" for n in range(10)))
    reply = b'{"choices": [{"message": {"content": "Yes."}, "finish_reason": "stop"}]}'
    with StubServer() as server:
        given = [str(dataset), "--esco", str(own), "--base-url", server.url, "--sample", "10", "--concurrency", "1"]
        server._answer = lambda *_: (200, reply, "") if server.requests <= 12 else (500, b"{}", "")
        with pytest.raises(StageError, match="no verdict after 7 tries"):
            judge.main([*given, "--model", "referee"])
        assert not (dataset / BY_LLM).exists()
        server.requests, server._answer = 0, lambda *_: (200, reply, "")
        judge.main([*given, "--model", "referee"])
        assert server.requests == 20 - 12
        assert read_accuracy(dataset / BY_LLM).judged == 10
        # All are in the file: a run that begins anew asks anew.
        assert not list(dataset.parent.glob(f"{dataset.name}.judged_so_far*"))
        judge.main([*given, "--model", "another"])
        assert server.requests == 20 - 12 + 20


@pytest.fixture
def judging_server():
    """A server that says yes, but no to every line that ends in 7, and fails once before it says anything."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            line = request["messages"][-1]["content"].split("\n")[0]
            Handler.asked += 1
            verdict = "No, it does not." if line.split(" ")[2].endswith("7") else "Yes."
            body = json.dumps({"choices": [{"message": {"content": verdict}, "finish_reason": "stop"}]}).encode()
            self.send_response(503 if Handler.asked == 1 else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            return

    Handler.asked = 0
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def test_the_command_judges_200_pairs_and_prints_the_share_with_its_interval(tmp_path, judging_server, capsys):
    """Lines 0 to 399, a sample of 200: about one in ten ends in 7, and the printed numbers are those of the file."""
    sentences = [Sentence(f"Line {n} of skill {n % 10}.", (SKILLS[n % 10],), "duty", "styled") for n in range(400)]
    small_manifest(write_tables(tmp_path, sentences, RELEASE.skills)).save(tmp_path)
    (tmp_path / "own.csv").write_text(
        "id,label,description\n" + "".join(f"urn:{n},label {n},Means.\n" for n in range(10))
    )
    given = [str(tmp_path), "--esco", str(tmp_path / "own.csv"), "--base-url", judging_server, "--model", "referee"]
    judge.main(given)
    with (tmp_path / BY_LLM).open(newline="") as file:
        rows = list(csv.DictReader(file))
    # The dataset goes out without ESCO's descriptions.
    assert list(rows[0]) == ["sentence", "skill", "pair", "judge", "model", "verdict"]
    assert {row["judge"] for row in rows} == {"referee"}
    swapped = [row for row in rows if row["pair"] == "swapped"]
    assert len(swapped) == 200
    assert not any(row["sentence"].endswith(f"{row['skill'].split()[1]}.") for row in swapped)
    rows = [row for row in rows if row["pair"] == "as written"]
    assert len(rows) == 200
    right = sum(row["verdict"] == "yes" for row in rows)
    assert right == sum(not row["sentence"].split(" ")[1].endswith("7") for row in rows)
    assert 160 < right < 195
    low, high = wilson_interval(right, 200)
    out = capsys.readouterr().out
    assert f"{right} of 200 right: {right / 200:.1%}, 95% interval {low:.1%} to {high:.1%}" in out
    card.main([out.split("dataset_builder.card ")[1].strip()])
    text = (tmp_path / "README.md").read_text()
    words = "judged right by `referee`, whose version is not on record, of 200 random pairs"
    assert f"{words} | {right / 200:.1%}" in text
    # This judge looks at the line alone: it calls as many right with another sentence's skill, and the card says so.
    words = "called right by the same judge with the skill of another sentence, of 200 random pairs"
    assert f"{words} | {right / 200:.1%}" in text


def test_verdicts_reach_manifest_and_card(dataset):
    """188 of 200 right: 94%. Wilson: centre (188 + 1.9207) / 203.8415 = 0.93171, half width 1.96 x

    sqrt(188 x 12 / 200 + 0.9604) / 203.8415 = 0.03364: 0.8981 to 0.9654.
    """
    manifest = small_manifest([])
    pairs = [Judged("x", "s", "d", "yes" if n < 188 else "no") for n in range(200)]
    write_judged(dataset / BY_LLM, [replace(pair, judge="tiny-judge") for pair in pairs])
    write_judged(by_hand_file(dataset), [Judged("x", "s", "d")] * 3, COLUMNS_BY_HAND)
    updated = card.with_verdicts(manifest, dataset)
    assert updated.quality["judged_correct"] == pytest.approx(0.94)
    assert updated.quality["judged_low"] == pytest.approx(0.8981, abs=1e-4)
    assert updated.quality["judged_high"] == pytest.approx(0.9654, abs=1e-4)
    assert "judged_by_hand_correct" not in updated.quality
    card.main([str(dataset)])
    text = (dataset / "README.md").read_text()
    assert "| judged right by `tiny-judge`, of 200 random pairs | 94.0% (95% interval 89.8% to 96.5%) |" in text
    assert (dataset / "pictures" / "sentences.png").stat().st_size > 1000
    # Verdicts of another judge, or of the model that wrote the sentences, never stand under the first one's name.
    write_judged(dataset / BY_LLM, [replace(pair, judge=manifest.language_model.model) for pair in pairs])
    card.main([str(dataset)])
    text = (dataset / "README.md").read_text()
    assert "| judged right by `tiny`, which wrote them, of 200 random pairs | 94.0%" in text
    assert "tiny-judge" not in text
    assert re.search(r"^\| `Line \d+ of skill \d\.` \| label \d \| duty \|$", text, re.MULTILINE)
    write_judged(dataset / BY_LLM, [replace(pair, judge=pair.verdict) for pair in pairs])
    with pytest.raises(StageError, match="verdicts of several judges: no, yes"):
        card.main([str(dataset)])


def test_the_command_writes_a_file_for_people_and_never_over_one(dataset, tmp_path_factory, capsys):
    esco = tmp_path_factory.mktemp("esco")
    rows = [f"urn:{n},label {n},,Means {n}.,skill/competence\n" for n in range(10)]
    (esco / "skills_en.csv").write_text("conceptUri,preferredLabel,altLabels,description,skillType\n" + "".join(rows))
    given = [str(dataset), "--esco", str(esco), "--sample", "7"]
    judge.main([*given, "--by-hand"])
    assert "7 pairs" in capsys.readouterr().out
    # With ESCO's descriptions, it lies beside what is published.
    assert by_hand_file(dataset).is_file()
    assert not any("judge" in path.name for path in dataset.iterdir())
    with pytest.raises(StageError, match="exists"):
        judge.main([*given, "--by-hand"])
    with pytest.raises(StageError, match="needs --base-url"):
        judge.main(given)
    with pytest.raises(StageError, match="--sample and --concurrency must be at least 1"):
        judge.main([*given, "--concurrency", "0"])
