"""One OpenAI-compatible server: a request goes in, a reply or a typed error comes out.

Three kinds of error, by what the server means: `StopError` says no to everything (key, model, quota), `RefusedError`
says no to this request for good, `WaitError` says not now. The key comes from OPENAI_API_KEY and appears nowhere.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai

from dataset_builder.api_key import KEY_VARIABLE, NO_KEY, read_key, without_key
from dataset_builder.contract import StageError
from dataset_builder.prompts import Message

MAX_BODY_BYTES = 4_000_000
CONNECT_S = 30.0  # until a server that does not even take a connection counts as absent
NOTHING_SENT = (
    *(httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout),
    *(httpx2.ProxyError, httpx2.UnsupportedProtocol),
)
STOP_STATUSES = frozenset({401, 402, 403, 404})  # key, balance, rights, model
STOP_CODES = frozenset({"invalid_api_key", "model_not_found"})
NO_MONEY_CODES = frozenset({"insufficient_quota", "billing_not_active"})
NO_MONEY = ("credit balance", "insufficient balance", "insufficient credit")
# What a 429 about one minute's quota says as well: elsewhere it means that the account is empty.
PERHAPS_NO_MONEY = ("exceeded your current quota", "billing")
PAY = "Check the account's balance; replies are kept"
# What a 403 says that means this one request, as a provider's moderation does.
ABOUT_CONTENT = (
    *("moderation", "content policy", "content_policy"),
    *("input was flagged", "prompt was flagged", "content was flagged"),  # not: the account
)
LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")
JSON_SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "lines",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"lines": {"type": "array", "items": {"type": "string"}}},
            "required": ["lines"],
            "additionalProperties": False,
        },
    },
}


class StopError(StageError):
    """The server says no to every request: wrong key, no rights, unknown model, no quota left."""


class RefusedError(Exception):
    """The server says no to this request for good."""


class WaitError(Exception):
    """The server cannot answer now: try again later.

    Args:
        kind: name of the class of error, counted in reports.
        retry_after_s: how long the server asked to wait, None where it did not say.
        crowded: whether the server says that it gets too much (429, 503).
    """

    def __init__(self, kind: str, retry_after_s: float | None = None, crowded: bool = False) -> None:
        super().__init__(kind)
        self.kind = kind
        self.retry_after_s = retry_after_s
        self.crowded = crowded


@dataclass(frozen=True)
class Reply:
    """A reply as it came. Tokens are the server's count, or an estimate where it sent none."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


class ChatClient:
    """Sends one request at a time to each caller; retries are the caller's.

    Args:
        base_url: the server's address, as in http://127.0.0.1:8000/v1.
        model: the model's name as the server knows it.
        timeout_s: seconds within which the whole reply must be there; then it counts as hanging.
        extra_body: more fields for the request's JSON, for servers that know more than the standard; null leaves a
            field of ours out.

    Raises:
        StageError: the key holds what no header may, or the address is none.
    """

    def __init__(
        self, base_url: str, model: str, timeout_s: float = 120.0, extra_body: dict[str, Any] | None = None
    ) -> None:
        self.model = model
        self.base_url = base_url
        self.extra_body = extra_body or None
        self._timeout_s = timeout_s
        self._key = read_key()
        url, timeout = checked_url(base_url), openai.Timeout(timeout_s, connect=min(timeout_s, CONNECT_S))
        self._openai = openai.AsyncOpenAI(base_url=url, api_key=self._key, timeout=timeout, max_retries=0)

    async def ask(
        self,
        messages: Sequence[Message],
        max_tokens: int,
        temperature: float,
        top_p: float,
        seed: int,
        json_schema: bool = False,
    ) -> Reply:
        """Send one chat request.

        Raises:
            StopError, RefusedError, WaitError: by what the server means.
        """
        request = {
            "model": self.model,
            "messages": list(messages),
            "max_tokens": max_tokens,
            "temperature": temperature,
            "top_p": top_p,
            "seed": seed,
            **({"response_format": JSON_SCHEMA} if json_schema else {}),
        }
        request = with_extra(request, self.extra_body)
        try:
            async with asyncio.timeout(self._timeout_s):  # the client's own timeout begins anew with every byte
                # The typed method walks through every message twice, a third of a request's whole cost; the body is
                # ours to read anyway, for it may be anything.
                response = await self._openai.post("/chat/completions", cast_to=httpx2.Response, body=request)
            body = response.content
        except openai.APIStatusError as error:
            raise self._meaning(error, request) from None
        except TimeoutError:
            raise WaitError("timeout") from None
        except openai.APIConnectionError as error:
            raise WaitError(_connection_kind(error)) from None
        except openai.OpenAIError as error:
            raise WaitError(type(error).__name__) from None
        reply = _read_reply(body)
        text, reason = without_key(reply.text, self._key), without_key(reply.finish_reason, self._key)
        return replace(reply, text=text, finish_reason=reason)

    async def close(self) -> None:
        """Close the connections."""
        await self._openai.close()

    def _meaning(self, error: openai.APIStatusError, request: dict[str, Any]) -> Exception:
        status, text = error.status_code, self._safe(error.message)
        if status == 403 and is_about_content(error.message):  # which may repeat the prompt, whatever that is about
            return RefusedError(f"http {status}: {text}")
        wait_s = _retry_after_s(error.response.headers)
        if status >= 500 or (status == 429 and wait_s is not None):  # who says when to come back says "wait"
            return WaitError(f"http {status}", wait_s, crowded=status in (429, 503))
        codes = {str(error.code), str(error.type)}
        no_money = is_about_money(status, codes, text)
        if status in STOP_STATUSES or codes & STOP_CODES or no_money:
            hint = f"Check {KEY_VARIABLE}" if status in (401, 403) else "Check --model and --base-url"
            hint = PAY if no_money else hint
            return StopError(f"the server says no ({status}): {text}", hint)
        if status in (408, 409, 429):
            return WaitError(f"http {status}", wait_s, crowded=status == 429)
        if "model" in text.lower() and any(word in text.lower() for word in ("not found", "not exist", "pinned to")):
            return StopError(f"the server says no ({status}): {text}", "Check --model")
        if hint := _field_hint(error, request):
            return StopError(f"the server says no ({status}): {text}", hint)
        return RefusedError(f"http {status}: {text}")

    def _safe(self, text: str) -> str:
        """One short line of the server's text, without the key should the server repeat it."""
        text = without_surrogates(text)
        short = " ".join(text.replace(self._key, "***").split()) if self._key != NO_KEY else " ".join(text.split())
        return short[:200]


def without_surrogates(text: str) -> str:
    """Text that can be written: a half of an emoji, which JSON can carry and UTF-8 cannot, becomes U+FFFD."""
    return LONE_SURROGATE.sub("\ufffd", text)


def is_about_money(status: int, codes: Set[str], text: str) -> bool:
    """Whether a server's no is about an account without money; `codes` are the error's code and type."""
    words = NO_MONEY if status == 429 else (*NO_MONEY, *PERHAPS_NO_MONEY)
    return status == 402 or bool(codes & NO_MONEY_CODES) or any(phrase in text.lower() for phrase in words)


def is_about_content(text: str) -> bool:
    """Whether a server's no is about what this request says, and about no other request."""
    return any(phrase in text.lower() for phrase in ABOUT_CONTENT)


def checked_url(base_url: str) -> str:
    """A server's address as it was given.

    Raises:
        StageError: it is no web address.
    """
    try:
        parts = urlsplit(base_url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        good = False
    if not good:
        raise StageError(f"--base-url {base_url!r} is no web address", "One looks like http://127.0.0.1:8000/v1")
    return base_url


def with_extra(request: dict[str, Any], extra: dict[str, Any] | None) -> dict[str, Any]:
    """A request's JSON with more fields, without those that are null there."""
    extra = extra or {}
    left_out = {name for name, value in extra.items() if value is None}
    return {name: value for name, value in {**request, **extra}.items() if name not in left_out}


def _field_hint(error: openai.APIStatusError, request: dict[str, Any]) -> str:
    """How to leave out a field of the request that the server does not take; "" where it says nothing of the kind."""
    if "max_tokens" in request and "max_completion_tokens" in error.message:
        fields = '{"max_tokens": null, "max_completion_tokens": N}'
        return f"Add --extra-body '{fields}', with N from {request['max_tokens']} up: a model that thinks needs more"
    if str(error.param) in request and str(error.code).startswith("unsupported"):
        return f"""Add --extra-body '{{"{error.param}": null}}'"""
    return ""


def _connection_kind(error: openai.APIConnectionError) -> str:
    """Class of the error: "no connection" where nothing was sent, so that nothing can have been paid for."""
    cause = error.__cause__ or error.__context__
    unsent = isinstance(cause, NOTHING_SENT)
    if isinstance(error, openai.APITimeoutError) and not unsent:
        return "timeout"
    kind = "no connection" if unsent else "connection"
    return f"{kind} ({type(cause).__name__})" if cause else kind


def _retry_after_s(headers: Any) -> float | None:
    """Seconds of a Retry-After header, 0 for a time that is past; None where there is none that makes sense."""
    value = headers.get("retry-after-ms")
    try:
        if value is not None:
            return max(0.0, float(value) / 1000)
        value = headers.get("retry-after")
        return None if value is None else max(0.0, float(value))
    except ValueError:
        from email.utils import parsedate_to_datetime

        try:
            return max(0.0, parsedate_to_datetime(str(value)).timestamp() - time.time())
        except (ValueError, TypeError):
            return None


def _read_reply(body: bytes) -> Reply:
    if len(body) > MAX_BODY_BYTES:
        raise WaitError("reply over 4 MB")
    if not body.strip():
        raise WaitError("empty body")
    try:
        values = json.loads(body)
    except ValueError:
        kind = "html body" if body.lstrip()[:1] == b"<" else "broken json"
        raise WaitError(kind) from None
    reply = reply_in(values)
    if reply is None:
        raise WaitError("json without a reply")
    return reply


def reply_in(values: Any) -> Reply | None:
    """The reply in the JSON of a chat completion; None where there is none."""
    try:
        choice = values["choices"][0]
        usage = values.get("usage") or {}
        prompt, completion, total = (int(usage.get(f"{of}_tokens") or 0) for of in ("prompt", "completion", "total"))
        if prompt:  # some servers count thoughts in the total alone
            completion = max(completion, total - prompt)
        return Reply(
            text=without_surrogates(_text_of(choice["message"]["content"])),
            finish_reason=without_surrogates(str(choice.get("finish_reason") or "")),
            prompt_tokens=prompt,
            completion_tokens=completion,
        )
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        return None


def _text_of(content: Any) -> str:
    """A reply's text, which may come in parts: those of thinking are left out."""
    if not isinstance(content, list):
        return str(content or "")
    parts = [part for part in content if isinstance(part, dict) and part.get("type") == "text"]
    return "".join(str(part.get("text") or "") for part in parts)
