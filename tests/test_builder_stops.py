"""What ends a run early, and what does not: lost replies, a wrong address, a wait until tomorrow, one bad request."""

import re

import pytest

from dataset_builder import build, sending
from dataset_builder.chat_client import ChatClient, StopError
from dataset_builder.contract import EXIT_USER_ERROR, StageError, run_command
from dataset_builder.esco import EscoRelease, Skill
from dataset_builder.generate import Generation
from dataset_builder.journal import Journal
from dataset_builder.limits import CHAT_TEMPLATE_TOKENS, Limits
from dataset_builder.plan import Endpoint, Plan, Sampling, make_plan
from dataset_builder.schema import DatasetManifest
from dataset_builder.stub_server import StubBehaviour, StubServer
from dataset_builder.taxonomy_csv import read_taxonomy

NOBODY = "http://127.0.0.1:9/v1"
SKILLS = 30


def plan_of(count: int) -> Plan:
    skills = tuple(Skill(uri=f"urn:{number}", label=f"label {number}") for number in range(count))
    return make_plan(EscoRelease(version="1", language="en", skills=skills), {"styled": 4})


def longest(plan: Plan) -> int:
    """Tokens that a request may use at most before the server has counted one: 4 x 32 + 8 = 136 are written."""
    return max(ask.prompt_bytes + CHAT_TEMPLATE_TOKENS + 136 for ask in plan.asks)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a plan of so many skills against a server; gives what happened and how many replies are on file."""
    monkeypatch.setattr(sending, "backoff_s", lambda *_: 0.001)

    def runs(url, count, timeout_s=60.0, **limits):
        quick = Limits(**{"max_tries": 40, **limits})
        with Journal(tmp_path / "run.sqlite") as journal:
            generation = Generation(plan_of(count), journal, Endpoint(url, "stub"), Sampling(), quick)
            return generation.run(ChatClient(url, "stub", timeout_s=timeout_s)), len(journal)

    return runs


@pytest.fixture
def arguments(tmp_path, monkeypatch):
    monkeypatch.setattr(sending, "backoff_s", lambda *_: 0.01)

    def write(url, *more, out="d", skills=SKILLS):
        path = tmp_path / "skills.csv"
        path.write_text("id,label\n" + "".join(f"urn:{n},label {n}\n" for n in range(skills)))
        given = ["--esco", path, "--out", tmp_path / out, "--version", "0.1.0", "--model", "stub", "--base-url", url]
        return [str(one) for one in [*given, "--provider", "stub", "--concurrency", "4", *more]]

    return write


def answer_by_skill(server, status_of):
    """Have the server answer requests about some skills, by number, with an error."""
    answer = server._answer

    def answered(body, fault):
        status = status_of(int(re.search(rb'"Skill: label (\d+)"', body)[1]))
        return answer(body, fault) if status == 200 else (status, b"{}", "")

    server._answer = answered


@pytest.mark.parametrize("fault", ["reset", "hang", "truncated json"])
def test_a_budget_holds_where_no_reply_comes(run, fault):
    """Every request may have been paid for. Three in flight and six in the budget: twice each, not forty times."""
    budget = 6 * longest(plan_of(20))
    behaviour = StubBehaviour(fault_share=1.0, faults=(fault,), hang_s=3.0)
    with StubServer(behaviour) as server:
        progress, _ = run(server.url, 20, timeout_s=0.5, concurrency=3, budget_tokens=budget)
        assert 0 < server.requests <= 6
    assert progress.stopped == "budget used up"
    assert budget / 2 < progress.lost.prompt + progress.lost.completion <= budget


def test_what_a_round_lost_counts_in_the_next_one(arguments, tmp_path):
    """The budget is what six replies used, two longest ones, and 500 tokens, which do for one request.

    With two lost the second round asks once. Where it forgot them, it would ask about all six.
    """
    with StubServer() as server:
        given = arguments(server.url, skills=6)
        build.main(given)
        tokens = DatasetManifest.load(tmp_path / "d").tokens
        budget = tokens.prompt_tokens + tokens.completion_tokens + 2 * longest(plan_of(6)) + 500
        faults = iter(["reset", "reset"])
        server._fault = lambda: next(faults, None)
        more = ["--at-least", "5", "--rounds", "1", "--asks-again", "0", "--concurrency", "1"]
        before = server.requests
        with pytest.raises(StageError, match="the budget ends"):
            build.main(arguments(server.url, *more, "--budget-tokens", str(budget), skills=6, out="e"))
        assert server.requests - before == 2 + 6 + 1


def test_what_later_rounds_used_counts_before_the_first_round_is_complete(arguments, tmp_path):
    """A request of the first round fails in both: five replies and six of the second. They used the budget up.

    Where those of the second round were forgotten, half of it would be left for the one that is missing.
    """
    more = ["--at-least", "5", "--rounds", "1", "--asks-again", "0", "--most-failed", "1", "--max-tries", "1"]
    more += ["--concurrency", "1"]
    with StubServer() as server:
        failing = iter([500, 500])
        answer_by_skill(server, lambda number: next(failing, 200) if number == 0 else 200)
        build.main(arguments(server.url, *more, skills=6))
        tokens = DatasetManifest.load(tmp_path / "d").tokens
        assert tokens.requests == 5 + 6
        before, budget = server.requests, str(tokens.prompt_tokens + tokens.completion_tokens)
        given = arguments(server.url, *more, "--budget-tokens", budget, skills=6, out="e")
        with pytest.raises(StageError, match="the budget ends before request 1 of this run"):
            build.main([*given, "--journal", str(tmp_path / "d.journal.sqlite")])
        assert server.requests == before


def test_a_wait_of_no_time_backs_off(run, monkeypatch):
    """Retry-After: 0 is no reason to send at once: waits of 0.1 s leave three tries in 0.25 s."""
    monkeypatch.setattr(sending, "backoff_s", lambda *_: 0.1)
    with StubServer(StubBehaviour(fault_share=1.0, faults=("429 with retry-after",), retry_after_s=0.0)) as server:
        progress, _ = run(server.url, 1, patience_s=0.25)
        assert 2 <= server.requests <= 3
    assert progress.failed == {0: "http 429"}


def test_a_403_about_one_request_is_kept_as_its_refusal(run):
    """Moderation flags one of ten requests: the others are answered, and none is asked again."""
    flagged = b'{"error": {"message": "Your chosen model requires moderation and your input was flagged"}}'
    with StubServer() as server:
        answer = server._answer
        server._answer = lambda body, fault: (403, flagged, "") if b"label 3" in body else answer(body, fault)
        for _ in range(2):
            progress, on_file = run(server.url, 10, concurrency=1)
            assert (progress.stopped, progress.failed, on_file, server.requests) == ("", {}, 10, 10)


def test_a_reply_that_drips_is_given_up_when_its_time_is_over(run):
    """A byte every 0.15 s: no single read ever waits for the 0.6 s that the whole reply has."""
    with StubServer(StubBehaviour(fault_share=1.0, faults=("drip",), hang_s=3.0)) as server:
        progress, _ = run(server.url, 1, timeout_s=0.6, max_tries=1)
    assert progress.waits == {"timeout": 1}


def test_where_nobody_is_the_run_ends_at_once(run):
    words = r"none of the first 10 requests met an API \(no connection \(ConnectError\): 10\)\. Check --base-url"
    with pytest.raises(StopError, match=words):
        run(NOBODY, 50, concurrency=2)


def test_where_somebody_else_is_the_run_ends_at_once(run):
    """Three tries for each of four places."""
    with StubServer(StubBehaviour(fault_share=1.0, faults=("html",))) as server:
        with pytest.raises(StopError, match=r"none of the first 12 requests met an API \(html body: 12\)"):
            run(server.url, 50, concurrency=4)
        assert server.requests < 12 + 4


def test_nothing_is_lost_that_was_never_sent(run):
    """A budget is for what may be paid: where nobody is there, it is not touched."""
    with pytest.raises(StopError, match="none of the first 10"):
        run(NOBODY, 20, concurrency=1, budget_tokens=2 * longest(plan_of(20)))


@pytest.mark.parametrize("first", ["429", "500", "503", None])
def test_a_server_that_was_there_once_is_waited_for(run, first):
    """One word of an API, a reply or "not now", and thirty pages of a proxy that follow stop nothing."""
    with StubServer() as server:
        faults = iter([first, *["html"] * 30])
        server._fault = lambda: next(faults, None)
        progress, on_file = run(server.url, 10, concurrency=1)
    assert (progress.stopped, progress.failed, on_file) == ("", {}, 10)


@pytest.mark.parametrize("fault", ["429", "429 with retry-after", "500", "503"])
def test_a_server_that_says_wait_never_stops_a_run(run, fault):
    with StubServer(StubBehaviour(retry_after_s=0.001)) as server:
        faults = iter([fault] * 60)
        server._fault = lambda: next(faults, None)
        progress, on_file = run(server.url, 10, concurrency=4, max_tries=70)
    assert (progress.stopped, progress.failed, on_file) == ("", {}, 10)


def test_a_wait_until_tomorrow_stops_the_run_and_says_when_to_come_back(arguments, capsys):
    """Five replies, and then the day's quota is used up: as many requests as fly at once, and not the whole plan."""
    with StubServer(StubBehaviour(retry_after_s=86_400)) as server:
        server._fault = lambda: "429 with retry-after" if server.requests > 5 else None
        assert run_command(build.main, arguments(server.url)) == EXIT_USER_ERROR
        assert 5 + 4 <= server.requests < 5 + 2 * 4
        said = capsys.readouterr()
        assert "python -m dataset_builder.build --esco" in said.out
        (error,) = [line for line in said.err.splitlines() if line.startswith("error:")]
        assert re.search(r"come back at \d{4}-\d\d-\d\d \d\d:\d\d .*Run the same command then", error)
        server._fault = lambda: None
        before = server.requests
        build.main(arguments(server.url))
        assert server.requests - before == SKILLS - 5


def test_one_stubborn_request_of_a_plan_is_no_outage(arguments, tmp_path):
    """5 of 30 fail, which is too much; then 1 of the 5 that are missing, which is 1 of 30 and less than 5%."""
    with StubServer() as server:
        given = arguments(server.url, "--max-tries", "1")
        answer_by_skill(server, lambda number: 500 if number < 5 else 200)
        with pytest.raises(StageError, match="5 of 30 requests failed"):
            build.main(given)
    with StubServer() as server:
        answer_by_skill(server, lambda number: 500 if number < 1 else 200)
        build.main(arguments(server.url, "--max-tries", "1"))
    assert DatasetManifest.load(tmp_path / "d").skills.failed == {"http 500": 1}


def test_what_is_missing_is_looked_up_once(arguments, monkeypatch):
    """Reading 140,000 replies takes seconds: a finished plan is read once to know that it is finished."""
    calls, missing = [], Generation.missing
    monkeypatch.setattr(Generation, "missing", lambda generation: (calls.append(1), missing(generation))[1])
    with StubServer() as server:
        build.main(arguments(server.url))
        calls.clear()
        build.main(arguments(server.url))
        assert (len(calls), server.requests) == (1, SKILLS)
        calls.clear()
        build.main(arguments(server.url, "--batch"))
        assert (len(calls), server.requests) == (1, SKILLS)


def test_a_dry_run_counts_what_the_journal_lacks(arguments, tmp_path, capsys):
    """20 of 30 requests are missing. At one a minute they take 20 / 60 h, more than 20 x 3 s / 4 at once."""
    with StubServer() as server:
        answer_by_skill(server, lambda number: 500 if number < 20 else 200)
        with pytest.raises(StageError, match="20 of 30"):
            build.main(arguments(server.url, "--max-tries", "1"))
        before = server.requests
        capsys.readouterr()
        build.main(arguments(server.url, "--dry-run", "--requests-per-minute", "1", "--tokens-per-minute", "1e9"))
        assert server.requests == before
    lines = capsys.readouterr().out.splitlines()
    asks = make_plan(read_taxonomy(tmp_path / "skills.csv"), {"styled": 4}).asks[:20]
    journal = tmp_path / "d.journal.sqlite"
    assert f"requests            20 of 30, the others have their reply in {journal}" in lines
    read = sum(ask.prompt_tokens for ask in asks)
    assert f"tokens in / out     {read:,} / {20 * 4 * 20:,} (estimated)" in lines
    assert "time                0.33 h at 1 requests a minute" in lines


def test_the_most_that_a_build_can_cost_counts_what_is_on_file_and_the_rounds(arguments, tmp_path, capsys):
    """10 of 30 skills have a reply, two lines of four: each of these may be asked twice more, the others three times.

    10 x 2 + 20 x 3 = 80 requests; two rounds of 30 skills add 2 x 30 x 3 = 180. A reply has at most 500 tokens:
    260 x 500 = 130,000.
    """
    bound = ["--extra-body", '{"max_tokens": null, "max_completion_tokens": 500}']
    with StubServer(StubBehaviour(lines=2)) as server:
        answer_by_skill(server, lambda number: 500 if number < 20 else 200)
        with pytest.raises(StageError, match="20 of 30"):
            build.main(arguments(server.url, "--max-tries", "1", "--asks-again", "0", *bound))
    capsys.readouterr()
    build.main(arguments(NOBODY, "--dry-run", "--at-least", "2", "--rounds", "2", *bound))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("at most")]
    assert re.fullmatch(
        r"at most +[\d,]+ / 130,000 tokens \(every reply at its bound, each asked 3 times, all rounds; "
        r"replies that are lost come on top\)",
        line,
    )
    build.main(arguments(NOBODY, "--dry-run", "--extra-body", '{"max_tokens": null}'))
    assert "at most             not known: --extra-body leaves replies without a bound" in capsys.readouterr().out


def test_the_most_that_a_build_can_cost_leaves_out_rounds_on_file(arguments, capsys):
    """30 skills with four lines each want nine: a second round has asked about all. A third adds 30 x 3 x 136."""
    with StubServer() as server:
        build.main(arguments(server.url, "--at-least", "9", "--rounds", "1"))
        assert server.requests == 60
    capsys.readouterr()
    for rounds, tokens in (("1", "0"), ("2", "12,240")):
        build.main(arguments(NOBODY, "--dry-run", "--at-least", "9", "--rounds", rounds))
        # The first round, which lacks nothing, says how long prompts are.
        assert f" / {tokens} tokens (every reply at its bound, each asked 3 times" in capsys.readouterr().out


def test_the_bound_that_further_fields_set_is_what_a_minutes_tokens_are_booked_by(arguments, tmp_path, capsys):
    """2,000 tokens a reply in place of 136: a tenth of that with the prompts is ten minutes, at 11/12 of it 0.18 h."""
    arguments("", skills=SKILLS)
    asks = make_plan(read_taxonomy(tmp_path / "skills.csv"), {"styled": 4}).asks
    rate = sum(ask.prompt_tokens + 2000 for ask in asks) / 10
    fields = ["--extra-body", '{"max_tokens": null, "max_completion_tokens": 2000}']
    build.main(arguments(NOBODY, "--dry-run", "--tokens-per-minute", str(rate), *fields))
    assert f"time                0.18 h at {rate:g} tokens a minute" in capsys.readouterr().out


def test_tokens_a_minute_may_be_what_takes_longest(arguments, tmp_path, capsys):
    """A tenth of what the requests may use, each 4 x 32 + 8 = 136 written, are ten minutes at that rate.

    A bucket of a twelfth leaves 11/12 for the minute: 10 min x 12/11 = 0.18 h.
    """
    arguments("", skills=SKILLS)
    asks = make_plan(read_taxonomy(tmp_path / "skills.csv"), {"styled": 4}).asks
    rate = sum(ask.prompt_tokens + 136 for ask in asks) / 10
    build.main(arguments(NOBODY, "--dry-run", "--requests-per-minute", "60", "--tokens-per-minute", str(rate)))
    assert f"time                0.18 h at {rate:g} tokens a minute" in capsys.readouterr().out
