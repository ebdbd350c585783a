"""The plan through the provider's batch endpoint, at a lower price: submit, come back, collect.

    python -m dataset_builder.batch_api submit   (the options of dataset_builder.build)
    python -m dataset_builder.batch_api collect  (the same options)

`submit` sends what the journal lacks and notes the batch beside the journal; `collect` puts finished replies into the
journal under the same keys as live ones, so that `dataset_builder.build` goes on from there. A reply that is not as
asked stays unsettled: the next submit asks for it again.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import openai

from dataset_builder.build import chosen_skills, read_skills
from dataset_builder.build_options import BuildOptions, parse_options
from dataset_builder.chat_client import JSON_SCHEMA, KEY_VARIABLE, NO_KEY, Reply, reply_in
from dataset_builder.contract import StageError, run_command, write_atomically
from dataset_builder.generate import Generation
from dataset_builder.journal import REFUSAL, Entry, Journal
from dataset_builder.plan import Ask, make_plan
from dataset_builder.sending import entry_of

MAX_REQUESTS = 50_000  # the providers' bound on one batch
WINDOW: Literal["24h"] = "24h"
UNFINISHED = frozenset({"validating", "in_progress", "finalizing", "cancelling"})


def request_lines(generation: Generation, model: str, extra: dict[str, Any] | None = None) -> Iterator[str]:
    """One line of JSON for each request that the journal lacks; its custom_id is the journal's key."""
    for index, attempt in generation.missing():
        ask, sampling = generation.plan.asks[index], generation.sampling
        body = {
            "model": model,
            "messages": ask.messages,
            "max_tokens": ask.max_tokens(sampling),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": ask.seed_of(attempt),
            **({"response_format": JSON_SCHEMA} if sampling.json_schema else {}),
            **(extra or {}),
        }
        key = ask.key(generation.endpoint, sampling, attempt)
        yield json.dumps({"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body})


def submit(generation: Generation, client: openai.OpenAI, model: str, extra: dict[str, Any] | None = None) -> list[str]:
    """Send what is missing in batches of MAX_REQUESTS and note their ids beside the journal.

    Raises:
        StageError: batches are still noted there, so that nothing is paid for twice.
    """
    note = _note(generation.journal)
    if note.exists():
        raise StageError(f"{note} names batches that are not collected", "Run collect first")
    lines = list(request_lines(generation, model, extra))
    ids: list[str] = []
    for start in range(0, len(lines), MAX_REQUESTS):
        content = io.BytesIO("\n".join(lines[start : start + MAX_REQUESTS]).encode("utf-8"))
        file = client.files.create(file=("requests.jsonl", content), purpose="batch")
        batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window=WINDOW)
        ids.append(batch.id)
        # After each one: a batch that was sent must be collected even if the next one fails.
        write_atomically(note, json.dumps(ids) + "\n")
    return ids


def collect(generation: Generation, client: openai.OpenAI) -> tuple[int, int]:
    """Put the replies of finished batches into the journal.

    Returns:
        Number of replies kept, and of batches that are not finished yet.
    """
    note = _note(generation.journal)
    if not note.exists():
        raise StageError(f"{note} does not exist", "Run submit first")
    asked = {
        ask.key(generation.endpoint, generation.sampling, attempt): (ask, attempt)
        for ask in generation.plan.asks
        for attempt in range(generation.limits.attempts)
    }
    kept, open_ids = 0, []
    for batch_id in json.loads(note.read_text(encoding="utf-8")):
        batch = client.batches.retrieve(batch_id)
        if batch.status in UNFINISHED:
            open_ids.append(batch_id)
            continue
        for file_id in filter(None, (batch.output_file_id, batch.error_file_id)):
            entries = list(_entries(client.files.content(file_id).text, asked, generation))
            generation.journal.put_many(entries)
            kept += len(entries)
    if open_ids:
        write_atomically(note, json.dumps(open_ids) + "\n")
    else:
        note.unlink()
    return kept, len(open_ids)


def _entries(text: str, asked: dict[str, tuple[Ask, int]], generation: Generation) -> Iterator[Entry]:
    """Journal entries of an output file; lines of another plan and outages are left out."""
    for line in text.splitlines():
        result = json.loads(line)
        found = asked.get(str(result.get("custom_id")))
        response = result.get("response") or {}
        if found is None:
            continue
        ask, attempt = found
        key, status = str(result["custom_id"]), response.get("status_code")
        if status == 200:
            reply = reply_in(response["body"])
            if isinstance(reply, Reply):
                yield entry_of(ask, attempt, reply, generation.endpoint, generation.sampling, generation.language)
        elif status in (400, 422):
            error = json.dumps(response.get("body"))[:200]
            yield Entry(key, REFUSAL, f"http {status}: {error}", "", 0, 0, True, ask.about)


def _note(journal: Journal) -> Path:
    return journal.path.with_name(f"{journal.path.name}.batches.json")


def _generation(options: BuildOptions, journal: Journal) -> Generation:
    release = read_skills(options)
    plan = make_plan(release, options.families, options.seed, chosen_skills(release, options))
    return Generation(plan, journal, options.endpoint, options.sampling, options.limits, options.language)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] not in ("submit", "collect"):
        raise StageError("the first word must be submit or collect", "Then the options of dataset_builder.build")
    options = parse_options(given[1:])
    key = os.environ.get(KEY_VARIABLE) or NO_KEY
    client = openai.OpenAI(base_url=options.endpoint.base_url, api_key=key, timeout=options.timeout_s)
    with Journal(options.journal) as journal:
        generation = _generation(options, journal)
        try:
            if given[0] == "submit":
                ids = submit(generation, client, options.endpoint.model, options.extra_body)
                print(f"{len(ids)} batches sent. Come back later with: python -m dataset_builder.batch_api collect ...")
            else:
                kept, unfinished = collect(generation, client)
                print(f"{kept:,} replies are in {options.journal}; {unfinished} batches are not finished yet")
        except openai.OpenAIError as error:
            text = str(error).replace(key, "***") if key != NO_KEY else str(error)
            raise StageError(f"the batch endpoint says: {' '.join(text.split())[:200]}") from None


if __name__ == "__main__":
    sys.exit(run_command(main))
