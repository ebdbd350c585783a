"""Requests that a journal lacks -> a file for an engine that reads batches from disk; its replies -> the journal.

    python -m dataset_builder.build ... --batch-folder DIR      # writes DIR/requests.jsonl
    vllm run-batch -i DIR/requests.jsonl -o DIR/replies.jsonl --model MODEL
    python -m dataset_builder.build ... --batch-folder DIR      # reads DIR/replies.jsonl, and builds

Both files have the form of OpenAI's batches, so that the requests can go to a machine with a GPU and no network, and
only replies come back. A reply that is not as asked is asked for again, in a new requests.jsonl.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dataset_builder.batch_lines import BatchStep, asked_in, read_results, request_lines, results_in
from dataset_builder.contract import StageError
from dataset_builder.generate import Generation
from dataset_builder.journal import REFUSAL

REQUESTS, REPLIES = "requests.jsonl", "replies.jsonl"


class BatchFolder:
    """One step at each call, as with a batch endpoint.

    Args:
        folder: where requests are written and replies are looked for; made when it is missing.
        model: the model's name as the engine knows it.
        extra_body: more fields for each request's JSON.
    """

    def __init__(self, folder: Path, model: str, extra_body: dict[str, Any] | None = None) -> None:
        self._folder, self._model, self._extra = folder, model, extra_body or {}

    @property
    def requests(self) -> Path:
        """The file for the engine."""
        return self._folder / REQUESTS

    @property
    def replies(self) -> Path:
        """The file that the engine writes."""
        return self._folder / REPLIES

    def step(self, generation: Generation, missing: Sequence[tuple[int, int]]) -> BatchStep:
        """Put the replies into the journal, then write what is still missing and fits the budget.

        Raises:
            StageError: the replies cannot be read, are another plan's, or say no to everything; or the budget is used
                up.
        """
        kept, cut = self._collect(generation) if missing and self.replies.is_file() else (0, False)
        missing = generation.missing() if kept else missing
        written = self._write(request_lines(generation, missing, self._model, self._extra)) if missing else 0
        return BatchStep(kept, 0, written, len(missing), cut)

    def _write(self, lines: Iterator[str]) -> int:
        """Write the requests, all or none, and never hold them all: they repeat the prompt each."""
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self.requests.with_name(f".{REQUESTS}.{os.getpid()}.tmp")
        written = 0
        try:
            with temporary.open("w", encoding="utf-8") as file:
                for line in lines:
                    file.write(f"{line}\n")
                    written += 1
            temporary.replace(self.requests)
        finally:
            temporary.unlink(missing_ok=True)
        return written

    def _collect(self, generation: Generation) -> tuple[int, bool]:
        """Number of replies kept, and whether the last line was cut."""
        try:
            content, cut = _without_a_cut_line(self.replies.read_bytes())
            text = content.decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise StageError(f"{self.replies} cannot be read: {' '.join(str(error).split())}") from None
        results = list(results_in(text, str(self.replies), "Remove that line, so that its request is asked again"))
        read = read_results(results, asked_in(generation), generation)
        # What is on file already, from an earlier call with the same replies, is no news.
        known = generation.journal.get_many([entry.key for entry in read.entries])
        entries = [entry for entry in read.entries if entry.key not in known]
        if read.no:
            # Something general is wrong: refusals are not kept, and what was answered is.
            generation.journal.put_many([entry for entry in entries if entry.kind != REFUSAL])
            raise StageError(read.no, read.remedy or f"Mend it, remove {self.replies} and run the engine again")
        generation.journal.put_many(entries)
        if read.strangers and not read.entries:
            raise StageError(
                f"{self.replies} holds {read.strangers:,} replies to another plan",
                "Give the options that the requests were written with",
            )
        return len(entries), cut


def _without_a_cut_line(content: bytes) -> tuple[bytes, bool]:
    """The lines before the last one, and True, when that one breaks off: the engine was killed while it wrote it."""
    before, _, last = content.rpartition(b"\n")
    if not before or not last.strip():
        return content, False
    try:
        json.loads(last)
    except ValueError:  # also half a character
        return before, True
    return content, False
