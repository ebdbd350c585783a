"""Requests that a journal lacks <-> the lines of a batch file: JSON objects in the form that OpenAI's batches have.

A line's custom_id is the journal's key, so that a reply finds its request whoever answered it, and when.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dataset_builder.chat_client import JSON_SCHEMA, PAY, Reply, is_about_content, is_about_money, reply_in, with_extra
from dataset_builder.contract import StageError
from dataset_builder.generate import Generation
from dataset_builder.journal import REFUSAL, Entry
from dataset_builder.plan import MAX_ATTEMPTS, Ask
from dataset_builder.sending import MAX_REFUSALS_AT_START, entry_of

STOP_STATUSES = frozenset({401, 403, 404})
REFUSAL_STATUSES = frozenset({400, 422})


@dataclass(frozen=True)
class BatchStep:
    """What one step did: replies kept, batches still on their way, requests sent now, requests still missing.

    `cut` says that the last line of the replies was no whole one, and was left out.
    """

    kept: int
    unfinished: int
    sent: int
    missing: int
    cut: bool = False

    @property
    def complete(self) -> bool:
        """Whether the journal has everything."""
        return not self.unfinished and not self.missing


@dataclass(frozen=True)
class ReadResults:
    """Entries for the journal, number of results of another plan, and what says no to everything ("": nothing does).

    `remedy` is what can be done about it, where that is plain.
    """

    entries: list[Entry]
    strangers: int
    no: str
    remedy: str = ""


def request_lines(
    generation: Generation, missing: Sequence[tuple[int, int]], model: str, extra: dict[str, Any]
) -> Iterator[str]:
    """The (index, attempt) requests that fit into the budget, counted by their longest possible replies, one by one.

    Args:
        generation: the plan, who answers and the budget.
        missing: what the journal lacks.
        model: the model's name as the server knows it.
        extra: more fields for each request's JSON.

    Raises:
        StageError: the budget ends before the first of them.
    """
    for index, attempt in _within_budget(generation, missing):
        yield _line(generation, index, attempt, model, extra)
    if missing and not list(_within_budget(generation, missing[:1])):
        raise StageError(
            f"the budget ends before the next of {len(missing):,} missing requests",
            "Raise it and run the same command, or add --journal-only to build from what is there",
        )


def asked_in(generation: Generation) -> dict[str, tuple[Ask, int]]:
    """Every request of the plan with its attempt, by its key; also those that a higher --asks-again has sent."""
    return {
        ask.key(generation.endpoint, generation.sampling, attempt): (ask, attempt)
        for ask in generation.plan.asks
        for attempt in range(MAX_ATTEMPTS)
    }


def results_in(text: str, where: str, remedy: str) -> Iterator[dict[str, Any]]:
    """The objects of an output file; an error names it by `where` and ends with the `remedy`.

    Raises:
        StageError: a line is none.
    """
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            result = json.loads(line)
        except ValueError:
            result = None
        if not isinstance(result, dict):
            raise StageError(f"{where}: line {number} of its output is not a JSON object", remedy)
        yield result


def read_results(
    results: Sequence[dict[str, Any]], asked: dict[str, tuple[Ask, int]], generation: Generation
) -> ReadResults:
    """What a batch's results are; outages are left out, so that they are asked again."""
    ours = [(result, *asked[key]) for result in results if (key := str(result.get("custom_id"))) in asked]
    entries = [entry for one in ours if (entry := _entry(*one, generation))]
    unpaid = next((result for result, *_ in ours if _is_unpaid(result)), None)
    no = next((result for result, *_ in ours if _status(result) in STOP_STATUSES and not _is_refusal(result)), unpaid)
    refused = sum(entry.kind == REFUSAL for entry in entries)
    if no is None and refused == len(entries) >= MAX_REFUSALS_AT_START:
        no = next(result for result, *_ in ours if _is_refusal(result))
    says_no = "" if no is None else f"the server says no ({_status(no)}): {_body(no)}"
    return ReadResults(entries, len(results) - len(ours), says_no, PAY if no is not None and no is unpaid else "")


def _line(generation: Generation, index: int, attempt: int, model: str, extra: dict[str, Any]) -> str:
    ask, sampling = generation.plan.asks[index], generation.sampling
    body: dict[str, Any] = {
        "model": model,
        "messages": ask.messages,
        "max_tokens": ask.max_tokens(sampling),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": ask.seed_of(attempt),
        **({"response_format": JSON_SCHEMA} if sampling.json_schema else {}),
    }
    key = ask.key(generation.endpoint, sampling, attempt)
    request = {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": with_extra(body, extra)}
    return json.dumps(request)


def _within_budget(generation: Generation, missing: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    progress, prompt, completion = generation.progress, 0, 0
    for index, attempt in missing:
        more = progress.bound(generation.plan.asks[index], generation.sampling, alone=not completion)
        prompt, completion = prompt + more[0], completion + more[1]
        if not progress.fits(prompt, completion, generation.limits):
            return
        yield index, attempt


def _entry(result: dict[str, Any], ask: Ask, attempt: int, generation: Generation) -> Entry | None:
    status = _status(result)
    if status == 200:
        reply = reply_in(result["response"].get("body"))
        if isinstance(reply, Reply):
            return entry_of(ask, attempt, reply, generation.endpoint, generation.sampling, generation.language)
    elif _is_refusal(result):
        key = ask.key(generation.endpoint, generation.sampling, attempt)
        return Entry(key, REFUSAL, f"http {status}: {_body(result)}", "", 0, 0, True, ask.about)
    return None


def _status(result: dict[str, Any]) -> int:
    response = result.get("response")
    return int(response.get("status_code") or 0) if isinstance(response, dict) else 0


def _is_refusal(result: dict[str, Any]) -> bool:
    """Whether a result says no to its request alone.

    vLLM gives every failure of the engine itself as 400, without a body and with a text as the error: an outage.
    """
    status = _status(result)
    if status in REFUSAL_STATUSES:
        return result["response"].get("body") is not None or isinstance(result.get("error"), dict)
    return status == 403 and is_about_content(_whole_body(result))


def _is_unpaid(result: dict[str, Any]) -> bool:
    """Whether a result says that the account is empty, which a provider may do with a 429."""
    status = _status(result)
    if status not in (402, 429):
        return False
    body = result["response"].get("body")
    error = body.get("error") if isinstance(body, dict) else None
    codes = {str(error.get(name)) for name in ("code", "type")} if isinstance(error, dict) else set()
    return is_about_money(status, codes, _whole_body(result))


def _body(result: dict[str, Any]) -> str:
    return _whole_body(result)[:200]


def _whole_body(result: dict[str, Any]) -> str:
    body = result["response"].get("body")
    return json.dumps(result.get("error") if body is None else body)  # vLLM says beside it what is wrong
