"""The requests that a journal lacks -> the provider's batch endpoint, at a lower price, and its replies -> the journal.

`dataset_builder.build --batch` does one step at each call: it collects what is finished, and sends what is missing when
nothing is on its way. Replies come under the same keys as live ones. A reply that is not as asked stays unsettled: the
next step asks for it again. Batches on their way are noted beside the journal: the input file's id before the batch is
ordered, the batch's own id once it is known, so that a step which is killed in between does not order it twice.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import openai
from openai.types import Batch

from dataset_builder.chat_client import JSON_SCHEMA, NO_KEY, Reply, checked_url, read_key, reply_in, with_extra
from dataset_builder.contract import StageError, write_atomically
from dataset_builder.generate import Generation
from dataset_builder.journal import REFUSAL, Entry, Journal
from dataset_builder.plan import Ask
from dataset_builder.sending import MAX_REFUSALS_AT_START, bound_of_reply, entry_of

INPUT_FILE = "input_file_id="  # in the note, before the id of a file whose batch is not known yet
MAX_REQUESTS = 50_000  # the providers' bound on one batch
WINDOW: Literal["24h"] = "24h"
UNFINISHED = frozenset({"validating", "in_progress", "finalizing", "cancelling"})
STOP_STATUSES = frozenset({401, 403, 404})
REFUSAL_STATUSES = frozenset({400, 422})


@dataclass(frozen=True)
class BatchStep:
    """What one step did: replies kept, batches still on their way, requests sent now, requests still missing."""

    kept: int
    unfinished: int
    sent: int
    missing: int

    @property
    def complete(self) -> bool:
        """Whether the journal has everything."""
        return not self.unfinished and not self.missing


class BatchSender:
    """Sends and collects over one server.

    Args:
        base_url: the server's address.
        model: the model's name as the server knows it.
        timeout_s: seconds until an answer counts as hanging.
        extra_body: more fields for each request's JSON.
    """

    def __init__(
        self, base_url: str, model: str, timeout_s: float = 120.0, extra_body: dict[str, Any] | None = None
    ) -> None:
        self._model, self._extra = model, extra_body or {}
        self._key = read_key()
        self._client = openai.OpenAI(base_url=checked_url(base_url), api_key=self._key, timeout=timeout_s)

    def step(self, generation: Generation, missing: Sequence[tuple[int, int]]) -> BatchStep:
        """Collect what is finished; then, with nothing on its way, send what is missing and fits the budget.

        Raises:
            StageError: the server says no, a batch failed, its replies are another plan's, or the budget is used up.
        """
        try:
            if not missing:
                # Batches on their way are then those of a later round, whose plan is wider.
                return BatchStep(0, 0, 0, 0)
            kept, unfinished = self.collect(generation)
            missing = generation.missing() if kept else missing
            sent = 0 if unfinished else self.submit(generation, missing)
        except openai.OpenAIError as error:
            text = " ".join(self._safe(str(error)).split())[:200]
            raise StageError(f"the batch endpoint says: {text}") from None
        return BatchStep(kept, unfinished, sent, len(missing))

    def submit(self, generation: Generation, missing: Sequence[tuple[int, int]]) -> int:
        """Send (index, attempt) requests in batches of MAX_REQUESTS and note their ids beside the journal.

        Returns:
            Number of requests sent: those that fit into the budget, counted by their longest possible replies.
        """
        lines = [self._line(generation, index, attempt) for index, attempt in _within_budget(generation, missing)]
        if missing and not lines:
            raise StageError(
                f"the budget ends before the next of {len(missing):,} missing requests",
                "Raise it and run the same command, or add --journal-only to build from what is there",
            )
        ids: list[str] = []
        for start in range(0, len(lines), MAX_REQUESTS):
            content = io.BytesIO("\n".join(lines[start : start + MAX_REQUESTS]).encode("utf-8"))
            # Not tried again: a second try after a reply that was lost would be a second batch, and a second bill.
            once = self._client.with_options(max_retries=0)
            file = once.files.create(file=("requests.jsonl", content), purpose="batch")
            _note(generation.journal, [*ids, INPUT_FILE + file.id])
            batch = once.batches.create(
                input_file_id=file.id, endpoint="/v1/chat/completions", completion_window=WINDOW
            )
            ids.append(batch.id)
            # After each one: a batch that was sent must be collected even if the next one fails.
            _note(generation.journal, ids)
        return len(lines)

    def collect(self, generation: Generation) -> tuple[int, int]:
        """Put the replies of finished batches into the journal.

        Returns:
            Number of replies kept, and of batches that are not finished yet.
        """
        self._find(generation.journal)
        ids = noted_batches(generation.journal)
        asked = _asked(generation) if ids else {}
        kept, unfinished = 0, 0
        for batch_id in ids:
            batch = self._client.batches.retrieve(batch_id)
            if batch.status in UNFINISHED:
                unfinished += 1
                continue
            entries = self._entries(batch, asked, generation)
            generation.journal.put_many(entries)
            kept += len(entries)
            _forget(generation.journal, batch_id)
            if batch.status == "failed":
                raise StageError(f"batch {batch_id} failed: {_why(batch)}", "Mend it and run the same command again")
        return kept, unfinished

    def _find(self, journal: Journal) -> None:
        """Note the batches of files that a step noted before it ended; a file without one was never ordered.

        Raises:
            StageError: the endpoint does not list its batches.
        """
        noted = noted_batches(journal)
        files = [one for one in noted if one.startswith(INPUT_FILE)]
        if not files:
            return
        try:
            found = {f"{INPUT_FILE}{one.input_file_id}": one.id for one in self._client.batches.list(limit=100)}
        except openai.APIStatusError as error:
            if error.status_code not in (404, 405, 501):
                raise
            raise StageError(
                f"a step ended before it knew its batch, and the endpoint lists none (http {error.status_code})",
                f"Write its id in place of {files[0]!r} into {note_of(journal)}, or take it out if none is there",
            ) from None
        _note(journal, [found.get(one, one) for one in noted if one not in files or one in found])

    def _safe(self, text: str) -> str:
        """The server's text without the key, should the server repeat it."""
        return text if self._key == NO_KEY else text.replace(self._key, "***")

    def _line(self, generation: Generation, index: int, attempt: int) -> str:
        """One request as a line of JSON; its custom_id is the journal's key."""
        ask, sampling = generation.plan.asks[index], generation.sampling
        body: dict[str, Any] = {
            "model": self._model,
            "messages": ask.messages,
            "max_tokens": ask.max_tokens(sampling),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": ask.seed_of(attempt),
            **({"response_format": JSON_SCHEMA} if sampling.json_schema else {}),
        }
        body = with_extra(body, self._extra)
        key = ask.key(generation.endpoint, sampling, attempt)
        return json.dumps({"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body})

    def _entries(self, batch: Batch, asked: dict[str, tuple[Ask, int]], generation: Generation) -> list[Entry]:
        """Journal entries of a batch's output files; outages are left out, so that they are asked again."""
        results = [
            result
            for file_id in filter(None, (batch.output_file_id, batch.error_file_id))
            for result in _results(self._safe(self._client.files.content(file_id).text), batch.id)
        ]
        ours = [(result, *asked[key]) for result in results if (key := str(result.get("custom_id"))) in asked]
        entries = [entry for one in ours if (entry := _entry(*one, generation))]
        no = next((result for result, *_ in ours if _status(result) in STOP_STATUSES), None)
        refused = sum(entry.kind == REFUSAL for entry in entries)
        if no is None and refused == len(entries) >= MAX_REFUSALS_AT_START:
            no = next(result for result, *_ in ours if _status(result) in REFUSAL_STATUSES)
        if no is not None:
            # Something general is wrong: refusals are not kept, and what was answered is.
            generation.journal.put_many([entry for entry in entries if entry.kind != REFUSAL])
            _forget(generation.journal, batch.id)
            raise StageError(f"the server says no ({_status(no)}): {_body(no)}", "Check --model and the other options")
        if len(ours) < len(results):
            generation.journal.put_many(entries)
            raise StageError(
                f"batch {batch.id} holds {len(results) - len(ours):,} replies to another plan",
                f"Give the options that it was sent with, or delete {note_of(generation.journal)} to lose them",
            )
        return entries


def note_of(journal: Journal) -> Path:
    """The file beside a journal that names the batches on their way."""
    return journal.path.with_name(f"{journal.path.name}.batches.json")


def noted_batches(journal: Journal) -> list[str]:
    """Ids of the batches on their way.

    Raises:
        StageError: the note cannot be read.
    """
    note = note_of(journal)
    if not note.exists():
        return []
    try:
        ids = json.loads(note.read_text(encoding="utf-8"))
    except ValueError:
        ids = None
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise StageError(f"{note} is no list of batch ids", "Write the ids that your provider lists into it")
    return ids


def _forget(journal: Journal, batch_id: str) -> None:
    _note(journal, [one for one in noted_batches(journal) if one != batch_id])


def _note(journal: Journal, ids: Sequence[str]) -> None:
    if ids:
        write_atomically(note_of(journal), json.dumps(list(ids)) + "\n")
    else:
        note_of(journal).unlink(missing_ok=True)


def _within_budget(generation: Generation, missing: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    prompt, completion = 0, 0
    for index, attempt in missing:
        ask = generation.plan.asks[index]
        prompt += generation.progress.prompt_bound(ask)
        completion += bound_of_reply(ask, generation.sampling)
        if not generation.progress.fits(prompt, completion, generation.limits):
            return
        yield index, attempt


def _asked(generation: Generation) -> dict[str, tuple[Ask, int]]:
    return {
        ask.key(generation.endpoint, generation.sampling, attempt): (ask, attempt)
        for ask in generation.plan.asks
        for attempt in range(generation.limits.attempts)
    }


def _results(text: str, batch_id: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            result = json.loads(line)
        except ValueError:
            result = None
        if not isinstance(result, dict):
            raise StageError(f"batch {batch_id}: line {number} of its output is not a JSON object", "Try again")
        yield result


def _entry(result: dict[str, Any], ask: Ask, attempt: int, generation: Generation) -> Entry | None:
    status = _status(result)
    if status == 200:
        reply = reply_in(result["response"].get("body"))
        if isinstance(reply, Reply):
            return entry_of(ask, attempt, reply, generation.endpoint, generation.sampling, generation.language)
    elif status in REFUSAL_STATUSES:
        key = ask.key(generation.endpoint, generation.sampling, attempt)
        return Entry(key, REFUSAL, f"http {status}: {_body(result)}", "", 0, 0, True, ask.about)
    return None


def _status(result: dict[str, Any]) -> int:
    response = result.get("response")
    return int(response.get("status_code") or 0) if isinstance(response, dict) else 0


def _body(result: dict[str, Any]) -> str:
    return json.dumps(result["response"].get("body"))[:200]


def _why(batch: Batch) -> str:
    problems = (batch.errors.data or []) if batch.errors else []
    return "; ".join(str(problem.message) for problem in problems[:3])[:200] or "the provider does not say why"
