"""What a server says, and what it means: a reply, not now, not this, or not at all."""

import asyncio
import http.server
import json
import os
import threading
from email.utils import formatdate
from time import time

import pytest

from dataset_builder.batch_api import BatchSender
from dataset_builder.chat_client import JSON_SCHEMA, ChatClient, RefusedError, Reply, StopError, WaitError
from dataset_builder.contract import StageError

GOOD = {
    "choices": [{"message": {"role": "assistant", "content": "1. Yes"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3},
}


@pytest.fixture
def server():
    """A server that gives one answer, (status, body, headers), and keeps what it was asked."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            handler.keys.add(self.headers["Authorization"])
            handler.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            status, body, headers = handler.gives
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            return

    handler = Handler
    handler.asked, handler.keys, handler.gives = [], set(), (200, GOOD, {})
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    handler.url = f"http://127.0.0.1:{running.server_port}/v1"
    yield handler
    running.shutdown()
    running.server_close()


def ask(server, json_schema=False, extra=None):
    async def run():
        client = ChatClient(server.url, "tiny", 5.0, extra)
        try:
            return await client.ask([{"role": "user", "content": "x"}], 9, 0.5, 0.8, 4, json_schema)
        finally:
            await client.close()

    return asyncio.run(run())


def test_a_request_carries_everything_and_a_reply_comes_back(server):
    assert ask(server) == Reply("1. Yes", "stop", 7, 3)
    assert server.asked == [
        {
            "model": "tiny",
            "messages": [{"role": "user", "content": "x"}],
            "max_tokens": 9,
            "temperature": 0.5,
            "top_p": 0.8,
            "seed": 4,
        }
    ]


def test_json_by_schema_and_more_fields_are_sent_where_asked_for(server):
    ask(server, json_schema=True, extra={"top_k": 20})
    assert server.asked[0]["response_format"] == JSON_SCHEMA
    assert server.asked[0]["top_k"] == 20


def test_null_leaves_a_field_out(server):
    """Newer models of some providers take max_completion_tokens, and no max_tokens."""
    ask(server, extra={"max_tokens": None, "max_completion_tokens": 200})
    assert "max_tokens" not in server.asked[0]
    assert server.asked[0]["max_completion_tokens"] == 200


PAY = "Check the account's balance; replies are kept"
QUOTA = "You exceeded your current quota, please check your plan and billing details"


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, {"error": {"message": "bad key"}}, r"says no \(401\): .*bad key.*Check OPENAI_API_KEY"),
        (403, {"error": {"message": "not yours"}}, r"\(403\).*Check OPENAI_API_KEY"),
        (404, {"error": {"message": "no such model"}}, r"\(404\).*Check --model"),
        (400, {"error": {"message": "The model `x` does not exist"}}, "Check --model"),
        (429, {"error": {"message": "pay first", "code": "insufficient_quota"}}, rf"\(429\).*pay first.*{PAY}"),
        (429, {"error": {"message": "pay first", "type": "insufficient_quota"}}, rf"\(429\).*pay first.*{PAY}"),
        (429, {"error": {"message": QUOTA, "type": "insufficient_quota"}}, rf"\(429\): .*{QUOTA}.*{PAY}"),
        (429, {"error": {"message": "not active", "code": "billing_not_active"}}, rf"\(429\).*not active.*{PAY}"),
        (403, {"error": {"message": "not active", "code": "billing_not_active"}}, rf"\(403\).*not active.*{PAY}"),
        (429, {"error": {"message": "Insufficient balance, please recharge"}}, rf"\(429\).*recharge.*{PAY}"),
        (400, {"error": {"message": "billing is not set up"}}, rf"\(400\).*billing.*{PAY}"),
        (402, {"error": {"message": "nothing left"}}, rf"\(402\).*nothing left.*{PAY}"),
        (400, {"error": {"message": "Your credit balance is too low"}}, rf"\(400\).*too low.*{PAY}"),
    ],
)
def test_a_no_to_everything_stops(server, status, body, words):
    server.gives = (status, body, {})
    with pytest.raises(StopError, match=words):
        ask(server)


NO_MAX_TOKENS = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
NO_TEMPERATURE = "Unsupported value: 'temperature' does not support 0.5 with this model."


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (
            {"message": NO_MAX_TOKENS, "param": "max_tokens", "code": "unsupported_parameter"},
            """Add --extra-body '{"max_tokens": null, "max_completion_tokens": N}', with N from 9 up""",
        ),
        (
            {"message": NO_TEMPERATURE, "param": "temperature", "code": "unsupported_value"},
            """Add --extra-body '{"temperature": null}'""",
        ),
    ],
)
def test_a_field_that_the_model_does_not_take_stops_and_is_named(server, error, remedy):
    server.gives = (400, {"error": error}, {})
    with pytest.raises(StopError) as caught:
        ask(server)
    assert error["message"] in str(caught.value)
    assert remedy in str(caught.value)
    # Who has left it out already is not told so again.
    with pytest.raises(RefusedError):
        ask(server, extra={error["param"]: None})


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_no_to_this_request_is_a_refusal(server, status):
    server.gives = (status, {"error": {"message": "the prompt is too long"}}, {})
    with pytest.raises(RefusedError, match=f"http {status}: .*too long"):
        ask(server)


@pytest.mark.parametrize(
    ("status", "headers", "wait_s", "crowded"),
    [
        (429, {}, None, True),
        (429, {"Retry-After": "2.5"}, 2.5, True),
        (429, {"Retry-After-Ms": "300"}, 0.3, True),
        (503, {"Retry-After": "-4"}, 0.0, True),
        (503, {"Retry-After": "soon"}, None, True),
        (500, {}, None, False),
        (502, {}, None, False),
        (408, {}, None, False),
        (409, {}, None, False),
    ],
)
def test_not_now_is_a_wait_with_the_time_that_the_server_asks_for(server, status, headers, wait_s, crowded):
    server.gives = (status, {"error": {"message": "not now"}}, headers)
    with pytest.raises(WaitError) as caught:
        ask(server)
    assert (caught.value.kind, caught.value.retry_after_s, caught.value.crowded) == (f"http {status}", wait_s, crowded)


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({}, {"message": "You exceeded your current quota, please check your plan and billing details. Retry in 10s."}),
        ({}, {"message": "Rate limit reached. Visit /account/billing to add a card.", "code": "rate_limit_exceeded"}),
        ({"Retry-After": "10"}, {"message": "Your credit balance allows one request a minute"}),
        ({"Retry-After": "10"}, {"message": "quota of this minute", "type": "insufficient_quota"}),
    ],
)
def test_a_429_that_talks_about_money_and_says_wait_is_a_wait(server, headers, error):
    server.gives = (429, {"error": error}, headers)
    with pytest.raises(WaitError) as caught:
        ask(server)
    assert (caught.value.kind, caught.value.crowded) == ("http 429", True)


def test_retry_after_may_be_a_date(server):
    server.gives = (429, {}, {"Retry-After": formatdate(time() + 30, usegmt=True)})
    with pytest.raises(WaitError) as caught:
        ask(server)
    assert 0 < caught.value.retry_after_s <= 30


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "empty body"),
        (b"  <!doctype html><p>Sign in</p>", "html body"),
        (b'{"choices": [', "broken json"),
        (b"\xff\xfe\xfd", "broken json"),
        (b"null", "json without a reply"),
        (b'{"choices": []}', "json without a reply"),
        (b'{"choices": [{"text": "old"}]}', "json without a reply"),
        (b'{"error": "on status 200"}', "json without a reply"),
        (b'"' + b"x" * 4_100_000 + b'"', "reply over 4 MB"),
    ],
)
def test_a_body_that_is_no_reply_is_asked_again(server, body, kind):
    server.gives = (200, body, {})
    with pytest.raises(WaitError) as caught:
        ask(server)
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    "choice", [{"message": {"content": None}}, {"message": {"content": ""}, "finish_reason": None}]
)
def test_an_empty_reply_is_a_reply_and_missing_counts_are_zero(server, choice):
    server.gives = (200, {"choices": [choice]}, {})
    assert ask(server) == Reply("", "", 0, 0)


@pytest.mark.parametrize(
    ("usage", "prompt", "completion"),
    [
        ({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}, 7, 3),
        ({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 2007}, 7, 2000),  # thoughts in the total alone
        ({"prompt_tokens": 7, "completion_tokens": 2000, "total_tokens": 2007}, 7, 2000),  # as OpenAI counts them
        ({"prompt_tokens": 7, "completion_tokens": 0, "total_tokens": 2007}, 7, 2000),  # nothing but thoughts
        ({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": None}, 7, 3),
        ({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 4}, 7, 3),
        ({"completion_tokens": 3, "total_tokens": 10}, 0, 3),
    ],
)
def test_thoughts_count_as_written_whichever_way_the_server_counts_them(server, usage, prompt, completion):
    server.gives = (200, {**GOOD, "usage": usage}, {})
    assert ask(server) == Reply("1. Yes", "stop", prompt, completion)


def test_nobody_there_is_a_wait(server):
    server.url = "http://127.0.0.1:9/v1"
    with pytest.raises(WaitError, match=r"^no connection \(ConnectError\)"):
        ask(server)


@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_key_that_the_server_repeats_is_taken_out(server, status, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    server.gives = (status, {"error": {"message": "Incorrect key sk-very-secret"}}, {})
    with pytest.raises((StopError, RefusedError)) as caught:
        ask(server)
    assert "sk-very-secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert "***" in str(caught.value)


@pytest.mark.parametrize("key", ["sk-secret\n", "  sk-secret", "\tsk-secret\r\n"])
def test_whitespace_around_a_key_is_no_part_of_it(server, monkeypatch, key):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    ask(server)
    server.gives = (401, {"error": {"message": "Incorrect key sk-secret"}}, {})
    with pytest.raises(StopError) as caught:
        ask(server)
    assert server.keys == {"Bearer sk-secret"}
    assert "sk-secret" not in str(caught.value)


def test_a_key_of_whitespace_is_none(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", " \n")
    ask(server)
    assert server.keys == {"Bearer not-needed"}


@pytest.mark.parametrize("key", ["sk–secret", "sk-secrét", "sk-\nsecret", "sk-\x00secret"])  # noqa: RUF001
@pytest.mark.parametrize("sender", [ChatClient, BatchSender])
def test_a_key_that_no_header_takes_is_one_line(monkeypatch, key, sender):
    monkeypatch.setattr("os.environ", {**os.environ, "OPENAI_API_KEY": key})
    with pytest.raises(StageError) as caught:
        sender("http://127.0.0.1:9/v1", "tiny")
    place = next(number for number, one in enumerate(key, 1) if not (one.isascii() and one.isprintable()))
    assert str(caught.value).startswith(f"OPENAI_API_KEY holds a character that no key has, at place {place}")
    assert "secr" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("url", ["localhost:8000/v1", "http://host:port/v1", "http:///v1", "ftp://host/v1", ""])
@pytest.mark.parametrize("sender", [ChatClient, BatchSender])
def test_what_is_no_web_address_is_one_line(url, sender):
    with pytest.raises(StageError, match=r"--base-url '.*' is no web address\. One looks like http://"):
        sender(url, "tiny")


def test_half_an_emoji_is_a_mark_and_a_whole_one_stays(server):
    r"""JSON can carry "\ud83d" alone, which no file takes: it becomes U+FFFD."""
    body = rb'{"choices": [{"message": {"content": "1. \ud83d\ude00 and \ud83d"}, "finish_reason": "\udc00stop"}]}'
    server.gives = (200, body, {})
    assert ask(server) == Reply("1. \U0001f600 and \ufffd", "\ufffdstop", 0, 0)
    server.gives = (400, rb'{"error": {"message": "not \ud83d"}}', {})
    with pytest.raises(RefusedError) as caught:
        ask(server)
    assert str(caught.value).encode("utf-8")


@pytest.mark.parametrize(
    "message",
    [
        "Your chosen model requires moderation and your input was flagged for violence",
        "Blocked by our content policy. Input: Skill: billing",  # whose words of money are the prompt's
    ],
)
def test_a_403_about_what_a_request_says_refuses_that_request_alone(server, message):
    server.gives = (403, {"error": {"message": message, "code": 403}}, {})
    with pytest.raises(RefusedError, match="http 403: "):
        ask(server)


@pytest.mark.parametrize(
    ("key", "text"), [("sk-very-secret", "1. You say ***."), ("EMPTY", "1. You say sk-very-secret.")]
)
def test_a_key_that_a_reply_repeats_is_taken_out_and_a_word_in_place_of_a_key_is_not(server, monkeypatch, key, text):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    content = "1. You say sk-very-secret." if key != "EMPTY" else text
    choice = {"message": {"content": f"{content} EMPTY"}, "finish_reason": "stop"}
    server.gives = (200, {"choices": [choice]}, {})
    assert ask(server).text == f"{text} EMPTY"
