"""The OpenVINO server: what it answers over HTTP with a scripted engine, and a tiny random model for the real one."""

import asyncio
import json
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest

from dataset_builder.chat_client import ChatClient, RefusedError, StopError, WaitError
from dataset_builder.contract import EXIT_USER_ERROR, StageError, run_command
from dataset_builder.engine_runner import Answer, EngineError, Request, Runner
from dataset_builder.openvino_server import OpenVinoEngine, main, make_app, read_request
from tests.tiny_gguf import write_tiny_gguf

uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

MESSAGES = [{"role": "user", "content": "hello"}]
ASKED = Request(MESSAGES, max_tokens=8, temperature=0.7, top_p=0.9, seed=3)


class ScriptedEngine:
    """Answers a request after `steps` steps with its own words; refuses "no", and fails while "fall" runs."""

    def __init__(self, steps=2, together=1):
        self.steps, self.together = steps, together
        self.running, self.most, self.cleared = {}, 0, 0
        self.requests = []

    def add(self, number, request):
        self.requests.append(request)
        if request.messages[-1]["content"] == "no":
            raise RuntimeError("this prompt is too long, a place for it was not found")
        self.running[number] = [request, self.steps]

    def step(self):
        self.most = max(self.most, len(self.running))
        if len(self.running) < self.together:
            time.sleep(0.001)
            return {}
        if any(request.messages[-1]["content"] == "fall" for request, _ in self.running.values()):
            raise RuntimeError("out of cache")
        for held in self.running.values():
            held[1] -= 1
        ended = [number for number, (_, left) in self.running.items() if left == 0]
        return {number: self._answer(self.running.pop(number)[0]) for number in ended}

    def clear(self):
        self.cleared += 1
        self.running.clear()

    def _answer(self, request):
        return Answer(f"1. {request.messages[-1]['content']} {request.seed}", "stop", 11, 5)


@contextmanager
def serving(engine, model="tiny"):
    """The app in a thread of its own; yields its base URL."""
    config = uvicorn.Config(make_app(Runner(engine), model), host="127.0.0.1", port=0, log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < until
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join(10)


def ask_all(url, texts, model="tiny"):
    """Ask about every text at once; replies or errors in order."""

    async def run():
        client = ChatClient(url, model, timeout_s=20)
        asks = [client.ask([{"role": "user", "content": text}], 8, 0.7, 0.9, seed) for seed, text in enumerate(texts)]
        try:
            return await asyncio.gather(*asks, return_exceptions=True)
        finally:
            await client.close()

    return asyncio.run(run())


def post(url, body):
    """Status and JSON of a raw request."""
    request = urllib.request.Request(f"{url}/chat/completions", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_requests_run_together_and_each_gets_its_own_answer():
    """An engine that waits until 12 requests run at once ends only when they do run at once."""
    engine = ScriptedEngine(together=12)
    with serving(engine) as url:
        replies = ask_all(url, [f"text {number}" for number in range(12)])
    assert [reply.text for reply in replies] == [f"1. text {number} {number}" for number in range(12)]
    assert engine.most == 12
    assert {(reply.prompt_tokens, reply.completion_tokens, reply.finish_reason) for reply in replies} == {
        (11, 5, "stop")
    }
    assert {(one.max_tokens, one.temperature, one.top_p) for one in engine.requests} == {(8, 0.7, 0.9)}


def test_a_refused_request_is_refused_alone():
    """The engine's words hold "not found"; only the model's name may turn a refusal into a stop."""
    with serving(ScriptedEngine()) as url:
        good, bad = ask_all(url, ["yes", "no"])
    assert good.text == "1. yes 0"
    assert isinstance(bad, RefusedError)
    assert "too long" in str(bad)


def test_an_engine_that_fails_says_try_again_and_serves_on():
    """A failure is nobody's fault: every request that ran gets a 500, which is asked again and never kept."""
    engine = ScriptedEngine()
    with serving(engine) as url:
        fallen = ask_all(url, ["fall", "fall"])
        assert all(isinstance(error, WaitError) and error.kind == "http 500" for error in fallen)
        assert engine.cleared >= 1
        assert ask_all(url, ["yes"])[0].text == "1. yes 0"


def test_a_late_answer_of_a_failed_request_harms_nobody():
    """An engine that hands back numbers it was told to forget does not end the runner."""

    class Forgetful(ScriptedEngine):
        def step(self):
            if self.cleared:
                return {1: Answer("late", "stop", 1, 1), **super().step()}
            return super().step()

        def clear(self):
            super().clear()
            raise RuntimeError("cannot cancel")

    async def run():
        runner = Runner(Forgetful())
        with pytest.raises(EngineError, match="out of cache"):
            await runner.answer(Request([{"role": "user", "content": "fall"}], 8, 0.0, 1.0, 0))
        return await asyncio.wait_for(runner.answer(ASKED), 10)

    assert asyncio.run(run()).text == "1. hello 3"


def test_a_caller_that_is_gone_harms_nobody():
    """The first request waits for a second one; its event loop is closed by the time both are answered."""
    runner = Runner(ScriptedEngine(together=2))

    async def leave():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(runner.answer(ASKED), 0.05)

    async def stay():
        return await asyncio.wait_for(runner.answer(ASKED), 10)

    asyncio.run(leave())
    assert asyncio.run(stay()).text == "1. hello 3"


def test_an_unknown_model_stops_a_build():
    with serving(ScriptedEngine()) as url:
        (error,) = ask_all(url, ["yes"], model="large")
    assert isinstance(error, StopError)
    assert "model 'large' not found; this server has 'tiny'" in str(error)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "Expecting property name"),
        (b'{"model": "\xff"}', "can't decode"),
        (b"[]", "messages must be a list"),
        (b'{"model": "tiny", "messages": []}', "messages must be a list"),
        (b'{"model": "tiny", "messages": ["x"]}', "role and a text content"),
        (b'{"model": "tiny", "messages": [{"role": "user", "content": [1]}]}', "role and a text content"),
    ],
)
def test_what_is_no_request_is_a_400(body, words):
    engine = ScriptedEngine()
    with serving(engine) as url:
        status, answer = post(url, body)
    assert status == 400
    assert words in answer["error"]["message"]
    assert engine.requests == []


@pytest.mark.parametrize(
    "values",
    [
        {"max_tokens": -1},
        {"max_tokens": "many"},
        {"temperature": 3},
        {"temperature": float("nan")},
        {"top_p": 0},
        {"top_p": {}},
        {"seed": "x"},
        {"max_tokens": float("inf")},
    ],
)
def test_values_that_make_no_sense_are_named(values):
    with pytest.raises(ValueError, match=next(iter(values))):
        read_request({"model": "tiny", "messages": MESSAGES, **values}, "tiny")


def test_what_is_left_out_or_null_takes_its_default():
    request = read_request({"model": "tiny", "messages": MESSAGES, "temperature": None, "seed": -1}, "tiny")
    assert (request.max_tokens, request.temperature, request.top_p) == (1024, 1.0, 1.0)
    assert request.seed == 2**32 - 1
    assert read_request({"model": "tiny", "messages": MESSAGES, "max_completion_tokens": 7}, "tiny").max_tokens == 7


def test_it_lists_its_model_and_says_that_it_is_up():
    with serving(ScriptedEngine()) as url:
        with urllib.request.urlopen(f"{url}/models") as answer:
            assert [model["id"] for model in json.load(answer)["data"]] == ["tiny"]
        assert urllib.request.urlopen(url.replace("/v1", "/health")).status == 200


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    pytest.importorskip("openvino_genai")
    pytest.importorskip("gguf")
    return write_tiny_gguf(tmp_path_factory.mktemp("llm") / "tiny.gguf")


@pytest.fixture(scope="module")
def openvino(tiny_model):
    return OpenVinoEngine(tiny_model, max_running=4, cache_gb=1)


def answers_of(engine, *requests):
    for number, request in enumerate(requests):
        engine.add(number, request)
    found = {}
    until = time.monotonic() + 60
    while len(found) < len(requests):
        assert time.monotonic() < until
        found |= engine.step()
    return [found[number] for number in range(len(requests))]


def test_openvino_counts_tokens_and_keeps_to_the_bound(openvino):
    """A byte vocabulary, where Ġt is one token: start + "user\\n" 5 + "a töte" 1 + 1 + 2 + 1 + 1 + end + newline = 14,

    and start + "assistant\\n" 10 = 11 more.
    """
    (answer,) = answers_of(openvino, Request([{"role": "user", "content": "a töte"}], 9, 0.9, 0.9, 1))
    assert answer.prompt_tokens == 25
    assert answer.finish_reason in ("stop", "length")
    assert answer.completion_tokens == 9 if answer.finish_reason == "length" else answer.completion_tokens < 9
    assert "<|im_" not in answer.text


def test_openvino_samples_by_seed(openvino):
    """Ten requests, more than run at once: the same seed gives the same text, and not all seeds do."""
    requests = [Request(MESSAGES, 12, 1.0, 1.0, seed) for seed in (*range(5), *range(5))]
    texts = [answer.text for answer in answers_of(openvino, *requests)]
    assert texts[:5] == texts[5:]
    assert len(set(texts)) > 1
    greedy = [answer.text for answer in answers_of(openvino, *[Request(MESSAGES, 12, 0.0, 1.0, s) for s in (1, 2)])]
    assert greedy[0] == greedy[1]


def test_openvino_forgets_what_it_is_told_to(openvino):
    openvino.add(7, Request(MESSAGES, 400, 1.0, 1.0, 1))
    openvino.step()
    openvino.clear()
    assert openvino.step() == {}
    assert len(answers_of(openvino, ASKED)) == 1


def test_openvino_over_http(openvino):
    with serving(openvino) as url:
        replies = ask_all(url, ["one", "two", "three"])
    assert all(reply.prompt_tokens > 0 and 0 < reply.completion_tokens <= 8 for reply in replies)


def test_what_openvino_cannot_open_is_one_line(tmp_path, capsys, tiny_model):
    (tmp_path / "text.gguf").write_text("plain text")
    with pytest.raises(StageError, match=r"text.gguf cannot be opened by OpenVINO .*Serve it unpacked"):
        OpenVinoEngine(tmp_path / "text.gguf")
    assert run_command(main, [str(tmp_path / "text.gguf")]) == EXIT_USER_ERROR
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_no_file_is_one_line(tmp_path, capsys):
    assert run_command(main, [str(tmp_path / "none.gguf")]) == EXIT_USER_ERROR
    assert "none.gguf does not exist" in capsys.readouterr().err
