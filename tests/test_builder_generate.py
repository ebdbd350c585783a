"""A plan against a local server with every fault: each request ends as it should, and nothing is asked twice."""

import os
import random
import signal
import threading
import time
from collections import Counter

import pytest

from dataset_builder import sending
from dataset_builder.chat_client import ChatClient, StopError
from dataset_builder.esco import EscoRelease, Skill
from dataset_builder.generate import Generation
from dataset_builder.journal import Journal
from dataset_builder.limits import Limits, Price
from dataset_builder.plan import Endpoint, Sampling, make_plan
from dataset_builder.sending import NOT_SENT
from dataset_builder.sentences import collect
from dataset_builder.stub_server import StubBehaviour, StubServer

QUICK = Limits(concurrency=8, backoff_base_s=0.005, max_tries=40, patience_s=600)


def release_of(count: int) -> EscoRelease:
    skills = tuple(Skill(uri=f"urn:skill:{number}", label=f"skill number {number}") for number in range(count))
    return EscoRelease(version="9.9", language="en", skills=skills)


def generation_for(server, journal, count=20, limits=QUICK, families=None):
    plan = make_plan(release_of(count), families or {"styled": 4})
    return Generation(plan, journal, Endpoint(server.url, "stub", provider="stub"), Sampling(), limits)


def run(generation, server, timeout_s=60.0):
    return generation.run(ChatClient(server.url, "stub", timeout_s=timeout_s))


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path / "journal.sqlite") as opened:
        yield opened


def test_every_ask_is_answered_once(journal):
    """20 skills x 4 lines in one request each: 20 requests, 80 sentences."""
    with StubServer() as server:
        run(generation_for(server, journal), server)
        assert server.requests == 20
        assert set(server.answered.values()) == {1}
    assert len(collect(generation_for(server, journal)).sentences) == 80


def test_a_finished_plan_asks_for_nothing_and_one_more_skill_for_itself_alone(journal):
    with StubServer() as server:
        run(generation_for(server, journal), server)
        run(generation_for(server, journal), server)
        assert server.requests == 20
        run(generation_for(server, journal, count=21), server)
        assert server.requests == 21


def test_every_fault_is_counted_and_the_run_ends_complete(journal):
    """Half of all replies faulty, and nine of ten in a stretch; every skill still ends with its lines."""
    behaviour = StubBehaviour(fault_share=0.5, bad_from=40, bad_to=120, hang_s=3.0)
    with StubServer(behaviour) as server:
        generation = generation_for(server, journal, count=80)
        progress = run(generation, server, timeout_s=1.0)
        assert progress.failed == {}
        # A text fault may come three times in a row: then the skill is left without lines, but not without outcome.
        collected = collect(generation)
        assert collected.replies >= 80
        assert sum(progress.waits.values()) > 0
        kinds = " ".join(progress.waits)
        for kind in (
            "http 429",
            "http 500",
            "http 503",
            "timeout",
            "connection",
            "broken json",
            "html body",
            "empty body",
        ):
            assert kind in kinds, f"{kind} was not seen in {progress.waits}, server sent {server.faults}"
        for fault in (
            "refusal",
            "oversized reply",
            "wrong language",
            "empty reply",
            "fewer lines than asked",
            "preamble",
        ):
            assert collected.faults[fault] > 0, f"{fault} was not seen in {collected.faults}"


@pytest.mark.parametrize(("status", "words"), [(401, "OPENAI_API_KEY"), (403, "403"), (404, "--model")])
def test_a_server_that_says_no_stops_the_run_at_the_first_reply(journal, status, words):
    with StubServer(StubBehaviour(status=status)) as server:
        generation = generation_for(server, journal, count=50, limits=Limits(concurrency=1))
        with pytest.raises(StopError, match=words):
            run(generation, server)
        assert server.requests == 1
    assert len(journal) == 0


def test_requests_that_the_server_refuses_from_the_start_stop_the_run(journal):
    """Five refusals before any reply mean that something general is wrong."""
    with StubServer(StubBehaviour(status=400)) as server:
        with pytest.raises(StopError, match="refused the first 5"):
            run(generation_for(server, journal, limits=Limits(concurrency=1)), server)
        assert server.requests == 5


def test_refusals_that_never_end_stop_the_run_and_are_not_kept(journal):
    """An account that is empty after some replies may say 400 to all that follows: 25 in a row are no accident."""
    with StubServer() as server:
        run(generation_for(server, journal, count=4), server)
        kept = len(journal)
        server.behaviour.latency_s = 0.001
        generation = generation_for(server, journal, count=60, limits=Limits(concurrency=1))
        answer = server._answer
        server._answer = lambda body, fault: answer(body, fault) if server.requests < 15 else (400, b"{}", "")
        with pytest.raises(StopError, match="refused 25 requests in a row"):
            run(generation, server)
    assert len(journal) == kept + 10
    assert {entry.kind for entry in journal.entries()} == {"reply"}


def test_a_refusal_between_replies_is_kept(journal):
    with StubServer() as server:
        answer = server._answer
        server._answer = lambda body, fault: answer(body, fault) if server.requests % 3 else (400, b"{}", "")
        run(generation_for(server, journal, count=9, limits=Limits(concurrency=1)), server)
        assert server.requests == 9
        assert Counter(entry.kind for entry in journal.entries()) == {"reply": 6, "refusal": 3}
        run(generation_for(server, journal, count=9), server)
        assert server.requests == 9


def test_a_place_is_taken_again_before_its_reply_is_read_and_never_by_two(journal, monkeypatch):
    """16 places have two workers more, who wait: the 17th request goes out before the first reply is read."""
    sent_when_read, in_flight, most = [], 0, 0
    ask, read = ChatClient.ask, sending.entry_of

    async def counted(self, **request):
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        try:
            return await ask(self, **request)
        finally:
            in_flight -= 1

    monkeypatch.setattr(ChatClient, "ask", counted)
    with StubServer(StubBehaviour(latency_s=0.2)) as server:
        generation = generation_for(server, journal, count=40, limits=Limits(concurrency=16))
        monkeypatch.setattr(
            sending, "entry_of", lambda *given: (sent_when_read.append(generation.progress.sent), read(*given))[1]
        )
        run(generation, server)
    assert most == 16
    assert sent_when_read[0] > 16
    assert len(journal) == 40


def test_when_the_server_says_no_nobody_who_waits_sends(journal):
    """Eight places have a ninth worker waiting: of 50 requests no more than eight are sent."""
    with StubServer(StubBehaviour(status=401, latency_s=0.05)) as server:
        with pytest.raises(StopError):
            run(generation_for(server, journal, count=50, limits=Limits(concurrency=8)), server)
        assert server.requests <= 8


def test_an_interrupt_does_not_wait_for_the_minute(journal):
    """At one request a minute the second waits a minute; Ctrl-C ends it at once, and nothing is lost."""
    limits = Limits(concurrency=2, requests_per_minute=1)
    with StubServer() as server:
        generation = generation_for(server, journal, count=4, limits=limits)

        def interrupt():
            while not server.answered:  # who answers has been asked, and so the handler is there
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt, daemon=True).start()
        started = time.monotonic()
        progress = run(generation, server)
    assert time.monotonic() - started < 50
    assert progress.stopped == "interrupted"
    assert len(journal) == 1


def test_a_wait_longer_than_the_patience_holds_up_nobody(journal):
    """The first reply asks for a day: its request fails at once, the others are answered."""
    with StubServer(StubBehaviour(retry_after_s=86_400)) as server:
        fault = iter(["429 with retry-after"])
        server._fault = lambda: next(fault, None)
        progress = run(generation_for(server, journal, count=5, limits=Limits(concurrency=1)), server)
    assert Counter(progress.failed.values()) == {"http 429": 1}
    assert len(journal) == 4


def test_outages_are_not_kept_so_that_a_resume_repeats_them(journal):
    broken = StubBehaviour(fault_share=1.0, faults=("500",))
    limits = Limits(concurrency=4, backoff_base_s=0.001, max_tries=2)
    with StubServer(broken) as server:
        progress = run(generation_for(server, journal, count=6, limits=limits), server)
        assert Counter(progress.failed.values()) == {"http 500": 6}
        assert server.requests == 12
    assert len(journal) == 0
    with StubServer() as server:
        assert run(generation_for(server, journal, count=6), server).failed == {}


def test_a_budget_stops_before_it_is_exceeded(journal):
    """Each request may cost 8+32*4 = 136 tokens out at most; spent plus reserved never passes the budget."""
    budget = Limits(concurrency=3, budget_tokens=4000)
    with StubServer() as server:
        generation = generation_for(server, journal, limits=budget)
        progress = run(generation, server)
    assert progress.stopped == "budget used up"
    assert 0 < progress.prompt_tokens + progress.completion_tokens <= 4000
    assert NOT_SENT in progress.failed.values()
    # What was spent is on file, so a second run with the same budget sends nothing more than what is left.
    with StubServer() as server:
        again = run(generation_for(server, journal, limits=budget), server)
    assert again.prompt_tokens + again.completion_tokens <= 4000


@pytest.mark.parametrize("concurrency", [4, 32])
@pytest.mark.parametrize("bytes_per_token", [1.4, 2.9, 4.0, 9.0])
def test_a_budget_holds_with_any_tokeniser(journal, bytes_per_token, concurrency):
    """At 2.9 bytes a token a request of 1,285 bytes has 443 tokens where 238 were estimated: the bound learns it.

    Before it has, each byte of the texts, of which the request has some 1,000, may be a token: of 32 that would be sent
    at once six have room. With nine bytes a token more requests fit, so that the budget is used and not only kept.
    """
    budget = Limits(concurrency=concurrency, budget_tokens=9000)
    with StubServer(StubBehaviour(latency_s=0.05, bytes_per_token=bytes_per_token)) as server:
        progress = run(generation_for(server, journal, count=200, limits=budget), server)
    assert progress.stopped == "budget used up"
    spent = progress.prompt_tokens + progress.completion_tokens
    assert 9000 * 0.75 < spent <= 9000


@pytest.mark.parametrize("reply_tokens", [191, 2000])
def test_a_budget_holds_where_replies_are_longer_than_asked_for(journal, reply_tokens):
    """136 tokens are asked for. 2,000 cost 0.0040 dollars, with the prompt 0.0043: six fit into 0.03, 13 into 0.06.

    The second run has the journal's replies to know it from.
    """
    for usd in (0.03, 0.06):
        limits = Limits(concurrency=32, budget_usd=usd, price=Price(1, 2))
        with StubServer(StubBehaviour(latency_s=0.05, reply_tokens=reply_tokens)) as server:
            progress = run(generation_for(server, journal, count=300, limits=limits), server)
        assert progress.stopped == "budget used up"
        assert usd * 0.8 < limits.price.of(progress.prompt_tokens, progress.completion_tokens) <= usd


def test_few_requests_go_out_before_a_reply_tells_how_long_they_are(journal):
    """One alone at its bound of 136 tokens and one at 64 x 136, 0.0013 + 0.0185 dollars, have room in 0.03.

    Nothing keeps replies of 20,000 tokens within that. By their bounds alone, 22 of them would have been sent.
    """
    limits = Limits(concurrency=32, budget_usd=0.03, price=Price(1, 2))
    with StubServer(StubBehaviour(latency_s=0.2, reply_tokens=20_000)) as server:
        progress = run(generation_for(server, journal, count=60, limits=limits), server)
        assert server.requests == 2
    assert progress.stopped == "budget used up"


def test_a_budget_is_used_up_where_one_reply_was_long(journal):
    """A prompt of 320 tokens, a reply of 1,000: three more have room in 6,000 by that, and turn out to use some 390.

    What they leave over does for others, until one alone has no room: less than 1,330 tokens are left.
    """
    with StubServer() as server:
        server.behaviour.reply_tokens = 1000
        run(generation_for(server, journal, count=1), server)
        server.behaviour.reply_tokens = None
        limits = Limits(concurrency=32, budget_tokens=6000)
        progress = run(generation_for(server, journal, count=60, limits=limits), server)
    assert progress.stopped == "budget used up"
    assert 6000 - 1330 < progress.prompt_tokens + progress.completion_tokens <= 6000


def test_a_price_turns_tokens_into_dollars():
    """2M tokens in at 0.15 and 1M out at 0.60 a million: 0.30 + 0.60 = 0.90."""
    assert Price(0.15, 0.60).of(2_000_000, 1_000_000) == pytest.approx(0.90)


def test_the_key_is_sent_and_appears_nowhere_else(journal, monkeypatch, caplog, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    with StubServer() as server:
        run(generation_for(server, journal, count=3), server)
        assert server.authorizations == {"Bearer sk-very-secret"}
    journal._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with StubServer(StubBehaviour(status=401)) as server, pytest.raises(StopError) as caught:
        run(generation_for(server, journal, count=5), server)
    written = capsys.readouterr()
    everything = (
        journal.path.read_bytes().decode("latin-1") + caplog.text + written.out + written.err + str(caught.value)
    )
    assert "secret" not in everything


def test_a_damaged_row_is_asked_again(journal):
    with StubServer() as server:
        run(generation_for(server, journal, count=5), server)
        journal._db.execute("UPDATE entries SET text = 'changed' WHERE key = (SELECT MIN(key) FROM entries)")
        run(generation_for(server, journal, count=5), server)
        assert server.requests == 6


def attempts_of(generation, index=0):
    return [generation.plan.asks[index].key(generation.endpoint, generation.sampling, number) for number in range(3)]


def test_a_damaged_first_attempt_is_asked_again_and_those_after_it_are_not(journal):
    """Every reply is bad: three attempts. The first one's row is damaged: one request more, and all three are read.

    Before it is sent, the two that are intact count as spent.
    """
    with StubServer(StubBehaviour(fault_share=1.0, faults=("fewer lines",))) as server:
        spent = run(generation_for(server, journal, count=1), server)
        generation = generation_for(server, journal, count=1)
        keys = attempts_of(generation)
        journal._db.execute("UPDATE entries SET text = 'changed' WHERE key = ?", [keys[0]])
        assert generation.missing() == [(0, 0)]
        intact = [journal.get(key) for key in keys[1:]]
        assert generation.progress.prompt_tokens == sum(entry.prompt_tokens for entry in intact) > 0
        again = run(generation_for(server, journal, count=1), server)
        assert server.requests == 4
        assert (again.prompt_tokens, again.completion_tokens) == (spent.prompt_tokens, spent.completion_tokens)
        assert collect(generation_for(server, journal, count=1)).replies == 3


@pytest.mark.parametrize("attempts", [1, 2])
def test_fewer_attempts_on_a_resume_hide_none_that_are_on_file(journal, attempts):
    """Two skills with three bad replies each: all six count, and no more is asked."""
    with StubServer(StubBehaviour(fault_share=1.0, faults=("fewer lines",))) as server:
        spent = run(generation_for(server, journal, count=2), server)
        fewer = generation_for(server, journal, count=2, limits=Limits(attempts=attempts))
        assert fewer.missing() == []
        assert fewer.progress.prompt_tokens == spent.prompt_tokens
        assert collect(fewer).replies == 6
        assert server.requests == 6


def test_a_reply_that_was_settled_is_never_asked_again_by_a_stricter_parser(journal, monkeypatch):
    with StubServer() as server:
        run(generation_for(server, journal, count=4), server)
        monkeypatch.setattr("dataset_builder.replies.MAX_REPLY_CHARACTERS", 1)
        run(generation_for(server, journal, count=4), server)
        assert server.requests == 4


def test_plans_do_not_depend_on_the_order_of_calls():
    families = {"styled": 8}
    order = random.Random(3)
    release = release_of(30)
    skills = list(release.skills)
    order.shuffle(skills)
    first = {ask.about: ask for ask in make_plan(release, families).asks}
    second = {ask.about: ask for ask in make_plan(release, families, skills=skills).asks}
    assert first == second
