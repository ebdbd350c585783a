"""The requests that a journal lacks -> the provider's batch endpoint, at a lower price, and its replies -> the journal.

`dataset_builder.build --batch` does one step at each call: it collects what is finished, and sends what is missing when
nothing is on its way. Replies come under the same keys as live ones. A reply that is not as asked stays unsettled: the
next step asks for it again. Batches on their way are noted beside the journal: the input file's id before the batch is
ordered, the batch's own id once it is known, so that a step which is killed in between does not order it twice.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import openai
from openai.types import Batch

from dataset_builder.api_key import NO_KEY, read_key, without_key
from dataset_builder.batch_lines import BatchStep, asked_in, read_results, request_lines, results_in
from dataset_builder.chat_client import checked_url
from dataset_builder.contract import StageError, write_atomically
from dataset_builder.generate import Generation
from dataset_builder.journal import REFUSAL, Entry, Journal
from dataset_builder.plan import Ask

INPUT_FILE = "input_file_id="  # in the note, before the id of a file whose batch is not known yet
MAX_REQUESTS = 50_000  # the providers' bound on one batch
WINDOW: Literal["24h"] = "24h"
UNFINISHED = frozenset({"validating", "in_progress", "finalizing", "cancelling"})


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
        lines = list(request_lines(generation, missing, self._model, self._extra))
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
        asked = asked_in(generation) if ids else {}
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

    def _entries(self, batch: Batch, asked: dict[str, tuple[Ask, int]], generation: Generation) -> list[Entry]:
        """Journal entries of a batch's output files; outages are left out, so that they are asked again."""
        results = [
            result
            for file_id in filter(None, (batch.output_file_id, batch.error_file_id))
            for result in results_in(
                without_key(self._client.files.content(file_id).text, self._key), f"batch {batch.id}", "Try again"
            )
        ]
        read = read_results(results, asked, generation)
        if read.no:
            # Something general is wrong: refusals are not kept, and what was answered is.
            generation.journal.put_many([entry for entry in read.entries if entry.kind != REFUSAL])
            _forget(generation.journal, batch.id)
            raise StageError(read.no, read.remedy or "Check --model and the other options")
        if read.strangers:
            generation.journal.put_many(read.entries)
            raise StageError(
                f"batch {batch.id} holds {read.strangers:,} replies to another plan",
                f"Give the options that it was sent with, or delete {note_of(generation.journal)} to lose them",
            )
        return read.entries


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


def _why(batch: Batch) -> str:
    problems = (batch.errors.data or []) if batch.errors else []
    return "; ".join(str(problem.message) for problem in problems[:3])[:200] or "the provider does not say why"
