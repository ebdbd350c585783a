"""A plan through files: the same command writes requests, reads an engine's replies and, when all are there, builds."""

import json

import pytest

from dataset_builder import build
from dataset_builder.contract import StageError
from dataset_builder.journal import REFUSAL, Journal
from dataset_builder.schema import DatasetManifest
from dataset_builder.stub_server import StubServer, reply_text

SKILLS = 6
LINES = 4  # of a request


@pytest.fixture
def arguments(tmp_path):
    rows = "".join(f"urn:{n},label {n}\n" for n in range(SKILLS))
    (tmp_path / "skills.csv").write_text(f"id,label\n{rows}")
    given = ["--esco", tmp_path / "skills.csv", "--out", tmp_path / "d", "--version", "0.1.0", "--model", "m"]
    return [str(value) for value in [*given, "--provider", "mine", "--batch-folder", tmp_path / "b"]]


def requests_in(folder):
    return [json.loads(line) for line in (folder / "requests.jsonl").read_text().splitlines()]


def answer(folder, statuses=None, faults=None, usage=None):
    """What an engine does: every request of the file is answered; some by a status other than 200, or badly."""
    lines = []
    for number, request in enumerate(requests_in(folder)):
        status = (statuses or {}).get(number, 200)
        text = reply_text(request["body"], LINES, (faults or {}).get(number))
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = usage or {"prompt_tokens": 11, "completion_tokens": 7}
        body = {"choices": [choice], "usage": usage} if status == 200 else {"error": {"message": "no"}}
        response = {"status_code": status, "body": body}
        lines.append(json.dumps({"custom_id": request["custom_id"], "response": response}))
    (folder / "replies.jsonl").write_text("\n".join(lines) + "\n")


def test_write_answer_read_build(arguments, tmp_path, capsys):
    """6 requests: 3 good replies and 1 refusal are kept; the outage and the empty reply are asked again, these alone.

    1 of 6 is more than 5%, so that the folder has to be wanted without it. 5 skills x 4 lines = 20 sentences; the empty
    reply counts as one more.
    """
    build.main(arguments)
    said = capsys.readouterr().out
    assert f"0 replies collected, 6 of 6 missing requests in {tmp_path / 'b' / 'requests.jsonl'}" in said
    assert f"Have an engine answer them into {tmp_path / 'b' / 'replies.jsonl'}" in said
    assert f"python -m dataset_builder.build {arguments[0]}" in said
    first = requests_in(tmp_path / "b")
    assert len({line["custom_id"] for line in first}) == SKILLS
    assert {line["url"] for line in first} == {"/v1/chat/completions"}
    assert first[0]["body"]["model"] == "m"
    answer(tmp_path / "b", statuses={1: 400, 2: 500}, faults={3: "empty reply"})
    build.main(arguments)
    assert "5 replies collected, 2 of 2 missing requests in" in capsys.readouterr().out
    again = requests_in(tmp_path / "b")
    assert again[0] == first[2]
    assert again[1]["body"]["messages"] == first[3]["body"]["messages"]
    assert again[1]["body"]["seed"] != first[3]["body"]["seed"]
    # The engine has not run yet: what it answered before is no news.
    build.main(arguments)
    assert "0 replies collected, 2 of 2 missing requests in" in capsys.readouterr().out
    assert not (tmp_path / "d").exists()
    answer(tmp_path / "b")
    with pytest.raises(StageError, match=r"1 of 6 requests failed \(refused by the server: 1\)"):
        build.main(arguments)
    assert not (tmp_path / "d").exists()
    build.main([*arguments, "--most-failed", "1"])
    assert "20 pairs for 5 of 6 skills" in capsys.readouterr().out
    manifest = DatasetManifest.load(tmp_path / "d")
    assert (manifest.tokens.requests, manifest.language_model.base_url) == (SKILLS + 1, "")
    with Journal(tmp_path / "d.journal.sqlite") as journal:
        assert [entry.kind for entry in journal.entries()].count(REFUSAL) == 1


def test_files_and_a_live_run_give_the_same_bytes(arguments, tmp_path):
    build.main(arguments)
    answer(tmp_path / "b")
    build.main(arguments)
    with StubServer() as server:
        live = [value.replace(str(tmp_path / "d"), str(tmp_path / "live")) for value in arguments[:-2]]
        build.main([*live, "--base-url", server.url])
    for name in ("pairs/train.parquet", "pairs/validation.parquet", "skills/skills.parquet"):
        assert (tmp_path / "live" / name).read_bytes() == (tmp_path / "d" / name).read_bytes()


def test_a_second_round_is_written_as_well(arguments, tmp_path):
    """4 lines a skill leave every skill short of 5: another 6 requests, then the folder."""
    for asked in (SKILLS, SKILLS):
        build.main([*arguments, "--at-least", "5", "--rounds", "1"])
        assert not (tmp_path / "d").exists()
        assert len(requests_in(tmp_path / "b")) == asked
        answer(tmp_path / "b")
    build.main([*arguments, "--at-least", "5", "--rounds", "1"])
    assert DatasetManifest.load(tmp_path / "d").tokens.requests == 2 * SKILLS


@pytest.mark.parametrize("way", [["--batch-folder", "b"], ["--batch", "--base-url", "http://127.0.0.1:9/v1"]])
def test_journal_only_beside_a_batch_builds_from_what_is_there(arguments, tmp_path, way):
    """The remedy of a budget that has ended: the same command with one flag more, which asks nobody."""
    build.main([*arguments, "--budget-tokens", "1500"])
    answer(tmp_path / "b")
    build.main([*arguments, "--budget-tokens", "2000"])
    build.main([*arguments[:-2], *way, "--journal-only", "--most-failed", "1"])
    assert 0 < DatasetManifest.load(tmp_path / "d").tokens.requests < SKILLS


def test_a_budget_bounds_what_is_written(arguments, tmp_path):
    with pytest.raises(StageError, match="budget ends before the next of 6 missing"):
        build.main([*arguments, "--budget-tokens", "10"])
    build.main([*arguments, "--budget-tokens", "1500"])
    assert 0 < len(requests_in(tmp_path / "b")) < SKILLS


@pytest.mark.parametrize("usage", [{"completion_tokens": 2000}, {"completion_tokens": 7, "total_tokens": 2011}])
def test_a_budget_learns_that_replies_are_longer_than_asked_for(arguments, tmp_path, usage):
    """Each asks for 136 tokens and gets 2,000, or 7 and thoughts; its prompt has 11: five such fit in 12,000.

    Before one is known, the first counts as some 1,200 tokens and another one as 1,064 + 64 x 136 = 9,768: two. These
    use 4,022, which leaves room for three at 2,011. By 1,200 each, all six would have been written.
    """
    budget = [*arguments, "--budget-tokens", "12000"]
    for written in (2, 3):
        build.main(budget)
        assert len(requests_in(tmp_path / "b")) == written
        answer(tmp_path / "b", usage={"prompt_tokens": 11, **usage})
    with pytest.raises(StageError, match="budget ends before the next of 1 missing"):
        build.main(budget)
    build.main([*arguments, "--journal-only", "--most-failed", "1"])
    tokens = DatasetManifest.load(tmp_path / "d").tokens
    assert (tokens.prompt_tokens, tokens.completion_tokens) == (5 * 11, 5 * 2000)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{broken\n", "line 1 of its output is not a JSON object.*Remove that line"),
        (b"\xff\xfe", "cannot be read"),
        (b'{"custom_id": "another", "response": {"status_code": 200}}\n', "holds 1 replies to another plan"),
    ],
)
def test_replies_that_are_none_are_an_error(arguments, tmp_path, content, problem):
    build.main(arguments)
    (tmp_path / "b" / "replies.jsonl").write_bytes(content)
    with pytest.raises(StageError, match=problem):
        build.main(arguments)


def test_an_engine_that_refuses_everything_is_an_error_and_not_kept(arguments, tmp_path):
    """Such as a model that the engine does not have: a refusal of everything is no reply."""
    build.main(arguments)
    answer(tmp_path / "b", statuses=dict.fromkeys(range(SKILLS), 400))
    with pytest.raises(StageError, match=r"the server says no \(400\)"):
        build.main(arguments)
    with Journal(tmp_path / "d.journal.sqlite") as journal:
        assert len(journal) == 0


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda given: [*given, "--batch"], "--batch and --batch-folder exclude each other"),
        (lambda given: [value for value in given if value not in ("--provider", "mine")], "--base-url is missing"),
        (lambda given: given[:-2], "--base-url is missing"),
    ],
)
def test_options_that_contradict_each_other(arguments, change, problem):
    with pytest.raises(StageError, match=problem):
        build.main(change(arguments))


def test_a_flagged_request_and_half_an_emoji_hold_up_nobody(arguments, tmp_path):
    """Of six results one is refused by moderation, and one ends in half an emoji: all six are kept."""
    build.main(arguments)
    answer(tmp_path / "b")
    results = [json.loads(line) for line in (tmp_path / "b" / "replies.jsonl").read_text().splitlines()]
    flagged = {"error": {"message": "x" * 300 + " Your input was flagged"}}
    results[0]["response"] = {"status_code": 403, "body": flagged}
    results[1]["response"]["body"]["choices"][0]["message"]["content"] += " \ud83d"
    (tmp_path / "b" / "replies.jsonl").write_text("\n".join(map(json.dumps, results)))
    build.main([*arguments, "--most-failed", "1"])
    with Journal(tmp_path / "d.journal.sqlite") as journal:
        entries = list(journal.entries())
    assert [entry.kind for entry in entries].count(REFUSAL) == 1
    assert len(entries) == SKILLS
    assert sum(entry.text.endswith(" \ufffd") for entry in entries) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_another_no_to_the_key_stops(arguments, tmp_path, status):
    build.main(arguments)
    answer(tmp_path / "b", statuses={2: status})
    with pytest.raises(StageError, match=rf"the server says no \({status}\)"):
        build.main(arguments)


def test_replies_are_read_that_a_higher_asks_again_has_sent(arguments, tmp_path):
    """A second attempt and a first one are answered when the command says --asks-again 0: 6 + 1 replies are read."""
    build.main(arguments)
    answer(tmp_path / "b", statuses={2: 500}, faults={3: "empty reply"})
    build.main(arguments)
    answer(tmp_path / "b")
    build.main([*arguments, "--asks-again", "0"])
    assert DatasetManifest.load(tmp_path / "d").tokens.requests == SKILLS + 1


def change_results(folder, change):
    """Rewrite the engine's results one by one; `change` gets each with its number."""
    results = [json.loads(line) for line in (folder / "replies.jsonl").read_text().splitlines()]
    for number, result in enumerate(results):
        change(number, result)
    (folder / "replies.jsonl").write_text("".join(f"{json.dumps(result)}\n" for result in results))


def test_a_dead_engine_has_refused_nothing(arguments, tmp_path, capsys):
    """What vLLM writes when its engine dies after 2 of 6 replies: the other 4 are asked again, and answered."""

    def die(number, result):
        if number >= 2:
            result |= {"response": {"status_code": 400, "body": None}, "error": "EngineCore encountered an issue."}

    build.main(arguments)
    first = requests_in(tmp_path / "b")
    answer(tmp_path / "b")
    change_results(tmp_path / "b", die)
    build.main(arguments)
    assert "2 replies collected, 4 of 4 missing requests in" in capsys.readouterr().out
    assert requests_in(tmp_path / "b") == first[2:]
    answer(tmp_path / "b")
    build.main(arguments)
    assert "24 pairs for 6 of 6 skills" in capsys.readouterr().out


def test_a_refusal_beside_an_empty_body_is_kept_with_its_reason(arguments, tmp_path):
    """vLLM refuses a prompt that is too long with an error object in place of a body."""

    def refuse(number, result):
        if number == 2:
            error = {"object": "error", "message": "longer than the maximum model length", "code": 400}
            result |= {"response": {"status_code": 400, "body": None}, "error": error}

    build.main(arguments)
    answer(tmp_path / "b")
    change_results(tmp_path / "b", refuse)
    build.main([*arguments, "--most-failed", "1"])
    with Journal(tmp_path / "d.journal.sqlite") as journal:
        (refusal,) = [entry for entry in journal.entries() if entry.kind == REFUSAL]
    assert refusal.text.startswith("http 400: ")
    assert "longer than the maximum model length" in refusal.text


def test_a_wrong_model_is_named_as_the_engine_names_it(arguments, tmp_path):
    error = {"object": "error", "message": "The model `m` does not exist.", "code": 404}
    build.main(arguments)
    answer(tmp_path / "b", statuses=dict.fromkeys(range(SKILLS), 404))
    change_results(
        tmp_path / "b",
        lambda _, result: result.update(response={"status_code": 404, "body": None}, error=error),
    )
    with pytest.raises(StageError, match=r"the server says no \(404\): .*The model `m` does not exist"):
        build.main(arguments)


@pytest.mark.parametrize("end", [b'{"custom_id": "', '{"custom_id": "é'.encode()[:-1]])
def test_a_last_line_that_breaks_off_is_left_out(arguments, tmp_path, capsys, end):
    """The engine was killed while it wrote the last of 6 lines, once within a character: 5 are read, 1 is asked."""
    build.main(arguments)
    answer(tmp_path / "b")
    replies = tmp_path / "b" / "replies.jsonl"
    whole = replies.read_bytes().splitlines(keepends=True)
    replies.write_bytes(b"".join(whole[:-1]) + end)
    build.main(arguments)
    said = capsys.readouterr().out
    assert "5 replies collected, 1 of 1 missing requests in" in said
    assert f"The last line of {replies} breaks off and was left out" in said
    # In the middle it is no sign of a killed engine.
    replies.write_bytes(whole[0] + b"{broken\n" + whole[2])
    with pytest.raises(StageError, match=r"line 2 of its output is not a JSON object\. Remove that line"):
        build.main(arguments)


def test_what_is_on_its_way_to_a_batch_endpoint_is_not_written(arguments, tmp_path):
    (tmp_path / "d.journal.sqlite.batches.json").write_text('["batch-1"]')
    with pytest.raises(StageError, match=r"batches are on their way .*Give --batch in place of --batch-folder"):
        build.main(arguments)
    assert not (tmp_path / "b").exists()


def test_of_a_reply_in_parts_the_text_is_read(arguments, tmp_path, capsys):
    """Six replies of thinking and text, their four lines in two parts; one of thinking alone is an empty reply."""

    def split(number, result):
        message = result["response"]["body"]["choices"][0]["message"]
        thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "1. Hm."}]}
        half = len(message["content"]) // 2
        texts = [message["content"][:half], message["content"][half:]] if number else []
        message["content"] = [thinking, *({"type": "text", "text": text} for text in texts)]

    build.main(arguments)
    answer(tmp_path / "b")
    change_results(tmp_path / "b", split)
    build.main(arguments)
    assert "6 replies collected, 1 of 1 missing requests in" in capsys.readouterr().out
    with Journal(tmp_path / "d.journal.sqlite") as journal:
        assert [entry.text for entry in journal.entries() if not entry.settled] == [""]
    answer(tmp_path / "b")
    build.main(arguments)
    assert "24 pairs for 6 of 6 skills" in capsys.readouterr().out
