"""A random sample of pairs -> which of them are right, by an LLM given the skill's description, or by people.

    python -m dataset_builder.judge DATASET --esco ESCO.zip --base-url URL --model NAME
    python -m dataset_builder.judge DATASET --esco ESCO.zip --by-hand

The first writes judged_by_llm.csv into the dataset folder: the sample as it was written, and the same sentences with
the skill of another pair, for a judge that says yes to everything says nothing. The second writes a CSV beside the
folder, DATASET.judge_by_hand.csv, with ESCO's descriptions and an empty column `verdict` (yes or no) for a person to
fill in. The sample is the same for both. Verdicts of a run that ended early lie beside the folder as well, in
DATASET.judged_so_far_HASH.sqlite, until the same command has got the others. `dataset_builder.card` puts the results
into the card. The server's key is read from OPENAI_API_KEY.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from dataset_builder import schema
from dataset_builder.chat_client import ChatClient, RefusedError, Reply, WaitError
from dataset_builder.contract import StageError, run_command, without_folders
from dataset_builder.esco import EscoRelease
from dataset_builder.extra_body import read_extra_body
from dataset_builder.journal import REPLY, Entry, Journal
from dataset_builder.judged_files import (
    BY_LLM,
    COLUMNS_BY_HAND,
    NO,
    SWAPPED,
    UNCLEAR,
    WRITTEN,
    YES,
    Judged,
    by_hand_file,
    read_accuracy,
    write_judged,
)
from dataset_builder.prompts import Message
from dataset_builder.replies import without_thoughts
from dataset_builder.schema import DatasetManifest
from dataset_builder.seeded import stable_number
from dataset_builder.taxonomy_csv import read_label_space
from dataset_builder.versions import read_columns

SAMPLE = 200
MAX_TRIES = 7
MOST_UNCLEAR = 0.5  # share of verdicts
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 600.0
UNKNOWN_VERSION = "unknown"  # of an ESCO release whose files do not say it
ROOM_TO_THINK = "--extra-body '{\"max_tokens\": 2000}'"

SYSTEM = (
    "You check a data set. You see a line of a job ad, a skill and what the skill means. Answer yes when somebody "
    "who does what the line says needs this skill, and no when the line asks for something else. Answer with one word."
)
EXAMPLES = (
    ("Line: You plan what each clinic may spend.\nSkill: manage budgets: Plan, monitor and report on the budget.", YES),
    ("Line: Our kitchen team is looking forward to you.\nSkill: bake bread: Make bread from flour, water, yeast.", NO),
)


def sample_pairs(folder: str | Path, release: EscoRelease, size: int = SAMPLE) -> list[Judged]:
    """The pairs of a dataset folder whose hash is smallest: random, and the same at every call.

    Raises:
        StageError: no pairs there that can be read, or a skill that the release lacks.
    """
    path = Path(folder) / schema.PAIRS_FILES["train"]
    if not path.is_file():
        raise StageError(f"{path} does not exist", "Give a dataset folder that a build has written")
    rows = read_columns(path, (schema.SENTENCE, schema.SKILL, schema.SKILL_URI)).to_pylist()
    rows.sort(key=lambda row: stable_number(f"{row[schema.SENTENCE]}|{row[schema.SKILL_URI]}"))
    missing = next((row for row in rows[:size] if row[schema.SKILL_URI] not in release.by_uri), None)
    if missing:
        raise StageError(f"{missing[schema.SKILL_URI]} is no skill of this ESCO release", "Give the dataset's own one")
    return [
        Judged(row[schema.SENTENCE], row[schema.SKILL], release.by_uri[row[schema.SKILL_URI]].description)
        for row in rows[:size]
    ]


def swapped_pairs(pairs: Sequence[Judged]) -> list[Judged]:
    """Each sentence with the skill of another pair, half of the sample away: nearly all of them are wrong."""
    swapped = []
    for place, pair in enumerate(pairs):
        others = [pairs[(place + step) % len(pairs)] for step in range(len(pairs) // 2, len(pairs))]
        other = next((one for one in others if one.skill != pair.skill), None)
        if other:
            swapped.append(replace(pair, skill=other.skill, description=other.description, pair=SWAPPED))
    return swapped


def so_far_file(folder: str | Path, client: ChatClient, sample: int) -> Path:
    """Where a judge's verdicts on so many pairs are kept until all are there: beside the folder, no part of it."""
    folder = Path(folder).resolve()
    asked = json.dumps([client.base_url, client.model, client.extra_body, sample], sort_keys=True)
    return folder.with_name(f"{folder.name}.judged_so_far_{hashlib.sha256(asked.encode()).hexdigest()[:8]}.sqlite")


def messages_for(pair: Judged) -> list[Message]:
    """Chat messages that ask whether a pair is right."""
    turns = [
        {"role": role, "content": text}
        for example in EXAMPLES
        for role, text in zip(("user", "assistant"), example, strict=True)
    ]
    question = f"Line: {pair.sentence}\nSkill: {pair.skill}: {pair.description or pair.skill}"
    return [{"role": "system", "content": SYSTEM}, *turns, {"role": "user", "content": question}]


def verdict_of(text: str) -> str:
    """`yes`, `no` or `unclear` from a reply: its first word after what the model thought decides."""
    word = re.search(r"[a-z]+", without_thoughts(text)[0].lower())
    return word[0] if word and word[0] in (YES, NO) else UNCLEAR


async def judge_pairs(
    pairs: Sequence[Judged], client: ChatClient, concurrency: int = 8, judge: str = "", so_far: Journal | None = None
) -> list[Judged]:
    """Ask a server about every pair, `concurrency` at once, at temperature 0; `judge` stands for the model's name.

    What `so_far` holds is not asked again, and each yes or no is put there as it comes.

    Raises:
        StageError: the server says no, gives no verdict however often it is asked, or seldom says yes or no.
    """
    free = asyncio.Semaphore(concurrency)
    bar = tqdm(total=len(pairs), desc="judging", unit="pair")
    refusals: list[str] = []
    model = without_folders(client.model)

    async def one(pair: Judged) -> Judged:
        async with free:
            try:
                verdict = await _verdict(pair, client, so_far)
            except RefusedError as error:
                refusals.append(str(error))
                verdict = UNCLEAR
        bar.update(1)
        return replace(pair, verdict=verdict, judge=judge or model, model=model)

    try:
        judged = list(await asyncio.gather(*map(one, pairs)))
    finally:
        bar.close()
        await client.close()
    most, unclear = len(judged) * MOST_UNCLEAR, sum(pair.verdict == UNCLEAR for pair in judged)
    if len(refusals) > most:
        problem = f"the server refused {len(refusals)} of {len(judged)} pairs ({refusals[0]})"
        raise StageError(problem, "Give it what it asks for with --extra-body, or take another model")
    if unclear > most:
        remedy = f"Take a model that answers with one word; one that thinks before needs {ROOM_TO_THINK}"
        raise StageError(f"{unclear} of {len(judged)} verdicts are neither yes nor no", remedy)
    return judged


async def _verdict(pair: Judged, client: ChatClient, so_far: Journal | None) -> str:
    messages = messages_for(pair)
    key = _key(messages, client)
    if so_far is not None and (entry := so_far.get(key)):
        return verdict_of(entry.text)
    reply = await _reply(messages, client)
    verdict = verdict_of(reply.text)
    if so_far is not None and verdict != UNCLEAR:  # what is unclear may be clear after the server is mended
        tokens = reply.prompt_tokens, reply.completion_tokens
        so_far.put(Entry(key, REPLY, verdict, reply.finish_reason, *tokens, True, f"judge, {pair.pair}"))
    return verdict


def _key(messages: Sequence[Message], client: ChatClient) -> str:
    """SHA-256 over all that a verdict depends on: who is asked, and what."""
    asked = json.dumps([client.base_url, client.model, client.extra_body, messages], sort_keys=True)
    return hashlib.sha256(asked.encode("ascii")).hexdigest()


async def _reply(messages: Sequence[Message], client: ChatClient) -> Reply:
    kind = ""
    for wait_s in (FIRST_WAIT_S * 2**tries for tries in range(MAX_TRIES)):
        try:
            return await client.ask(messages, max_tokens=4, temperature=0.0, top_p=1.0, seed=0)
        except WaitError as error:
            kind = error.kind
            if (error.retry_after_s or 0.0) > LONGEST_WAIT_S:
                problem = f"the server asks to come back in {error.retry_after_s:,.0f} s ({kind})"
                raise StageError(problem, "Run the same command then") from None
            await asyncio.sleep(error.retry_after_s or wait_s)
    # An outage says nothing about the pair: it must not count as wrong.
    raise StageError(f"no verdict after {MAX_TRIES} tries ({kind})", "Run the same command when the server is well")


def _release_of(options: argparse.Namespace) -> EscoRelease:
    """The taxonomy that was given, in the dataset's language unless another one was.

    Raises:
        StageError: it is another release of ESCO than the dataset's, which may mean other things by the same skills.
    """
    built = DatasetManifest.load(options.dataset).esco
    release = read_label_space(options.esco, options.language or built.language)
    given = release.source
    # A taxonomy of one's own may have got its descriptions since, and unpacked files need not say their version.
    versions = {built.version, given.version}
    if built.is_esco and given.is_esco and len(versions) > 1 and UNKNOWN_VERSION not in versions:
        problem = f"{options.dataset} was built from {built.name}, not {given.name}"
        raise StageError(problem, "Give the dataset's own one")
    return release


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m dataset_builder.judge", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("dataset", help="dataset folder")
    esco = "its ESCO release or taxonomy, as for the build"
    parser.add_argument("--esco", nargs="+", required=True, metavar="PATH", help=esco)
    language = "of the taxonomy (default: the dataset's)"
    parser.add_argument("--language", type=str.lower, metavar="CODE", help=language)
    parser.add_argument("--sample", type=int, default=SAMPLE, metavar="N", help=f"pairs to judge (default: {SAMPLE})")
    parser.add_argument("--by-hand", action="store_true", help="write the file for people instead of asking an LLM")
    parser.add_argument("--base-url", metavar="URL", help="an OpenAI-compatible server")
    parser.add_argument("--model", help="the judge's name as the server knows it")
    name = "its name in the card (default: --model)"
    parser.add_argument("--model-name", default="", metavar="NAME", help=name)
    parser.add_argument("--concurrency", type=int, default=8, metavar="N", help="pairs at once (default: %(default)s)")
    parser.add_argument("--extra-body", metavar="JSON", help="more fields for each request; null leaves one out")
    options = parser.parse_args(arguments)
    if options.sample < 1 or options.concurrency < 1:
        raise StageError("--sample and --concurrency must be at least 1")
    pairs = sample_pairs(options.dataset, _release_of(options), options.sample)
    if options.by_hand:
        target = by_hand_file(options.dataset)
        if target.exists():
            raise StageError(f"{target} exists", "Delete it if its verdicts are not needed any more")
        write_judged(target, pairs, COLUMNS_BY_HAND)
        print(f"{len(pairs)} pairs in {target}: fill in the column 'verdict' with yes or no")
        return
    if not options.base_url or not options.model:
        raise StageError("a judge needs --base-url and --model", "Or write a file for people with --by-hand")
    client = ChatClient(options.base_url, options.model, extra_body=read_extra_body(options.extra_body))
    pairs += swapped_pairs(pairs)
    so_far_at = so_far_file(options.dataset, client, len(pairs))
    is_empty = False
    try:
        with Journal(so_far_at) as so_far:
            try:
                judged = asyncio.run(judge_pairs(pairs, client, options.concurrency, options.model_name, so_far))
            finally:
                is_empty = not len(so_far)
    finally:
        if is_empty:
            so_far_at.unlink(missing_ok=True)
    target = Path(options.dataset) / BY_LLM
    # A dataset goes out without ESCO's descriptions; the judge has seen them, the file need not.
    write_judged(target, judged)
    so_far_at.unlink(missing_ok=True)
    for pair, words in ((WRITTEN, "right"), (SWAPPED, "called right with the skill of another sentence")):
        if any(one.pair == pair for one in judged):
            found = read_accuracy(target, pair)
            low, high = found.interval
            print(f"{found.right} of {found.judged} {words}: {found.share:.1%}, 95% interval {low:.1%} to {high:.1%}")
    print(f"To put it into the card: python -m dataset_builder.card {options.dataset}")


if __name__ == "__main__":
    sys.exit(run_command(main))
