"""Command-line arguments of the build -> BuildOptions, checked."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_builder.contract import StageError
from dataset_builder.plan import MAX_ATTEMPTS, Endpoint, Sampling
from dataset_builder.prompts import FAMILIES
from dataset_builder.quality_gates import FilterOptions
from dataset_builder.sending import Limits, Price

DEFAULT_NAME = "synthetic-esco-skill-sentences"


@dataclass(frozen=True)
class BuildOptions:
    """Everything that a build was asked to do."""

    esco: tuple[str, ...]
    language: str
    version: str
    name: str
    out: Path
    previous: str | None
    journal: Path
    endpoint: Endpoint
    sampling: Sampling
    limits: Limits
    filters: FilterOptions
    families: dict[str, int]
    sentences_per_skill: int
    at_least: int
    rounds: int
    seed: int
    skills_limit: int | None
    skills_file: str | None
    timeout_s: float
    seconds_per_request: float
    extra_body: dict[str, Any] | None
    dry_run: bool
    journal_only: bool
    batch: bool
    command: str


def parse_options(arguments: Sequence[str] | None = None) -> BuildOptions:
    """Read the command line.

    Raises:
        StageError: a value that makes no sense; argparse exits with its own message for an unknown flag.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    parsed = _parser().parse_args(given)
    if not re.fullmatch(r"\d+\.\d+\.\d+", parsed.version):
        raise StageError(f"version {parsed.version!r} is not of the form 1.2.3")
    if parsed.sentences_per_skill < 1 or parsed.concurrency < 1:
        raise StageError("--sentences-per-skill and --concurrency must be at least 1")
    if parsed.at_least < 0 or parsed.rounds < 0:
        raise StageError("--at-least and --rounds must not be below 0")
    if parsed.round_trip_encoder and not (parsed.round_trip_k or parsed.benchmarks):
        raise StageError("--round-trip-encoder needs --round-trip-k, or --benchmarks to choose it on")
    out = Path(parsed.out)
    return BuildOptions(
        esco=tuple(parsed.esco),
        language=parsed.language,
        version=parsed.version,
        name=parsed.name,
        out=out,
        previous=parsed.previous,
        journal=Path(parsed.journal) if parsed.journal else out.with_name(f"{out.name}.journal.sqlite"),
        endpoint=Endpoint(parsed.base_url, parsed.model, parsed.provider, parsed.model_name),
        sampling=Sampling(parsed.temperature, parsed.top_p, parsed.tokens_per_line, parsed.json_schema),
        limits=_limits(parsed),
        filters=FilterOptions(
            language=parsed.language,
            benchmarks=parsed.benchmarks,
            encoder=parsed.round_trip_encoder,
            round_trip_k=parsed.round_trip_k,
        ),
        families=_families(parsed.families, parsed.sentences_per_skill),
        sentences_per_skill=parsed.sentences_per_skill,
        at_least=parsed.at_least,
        rounds=parsed.rounds if parsed.at_least else 0,
        seed=parsed.seed,
        skills_limit=parsed.skills_limit,
        skills_file=parsed.skills_file,
        timeout_s=parsed.timeout,
        seconds_per_request=parsed.seconds_per_request,
        extra_body=_extra_body(parsed.extra_body),
        dry_run=parsed.dry_run,
        journal_only=parsed.journal_only,
        batch=parsed.batch,
        command=shlex.join(["python", "-m", "dataset_builder.build", *given]),
    )


def _limits(parsed: argparse.Namespace) -> Limits:
    usd_in, usd_out = parsed.price or (0.0, 0.0)
    if parsed.budget_usd is not None and not parsed.price:
        raise StageError("--budget-usd needs --price IN OUT", "Give US dollars per million tokens")
    return Limits(
        concurrency=parsed.concurrency,
        requests_per_minute=parsed.requests_per_minute,
        tokens_per_minute=parsed.tokens_per_minute,
        max_tries=parsed.max_tries,
        patience_s=parsed.patience,
        attempts=min(MAX_ATTEMPTS, 1 + max(0, parsed.asks_again)),
        budget_tokens=parsed.budget_tokens,
        budget_usd=parsed.budget_usd,
        price=Price(usd_in, usd_out),
    )


def _families(text: str, sentences_per_skill: int) -> dict[str, int]:
    """`styled,co-mention:2` -> lines a skill by family; a family without a number takes the general one."""
    families = {}
    for part in text.split(","):
        name, _, count = part.strip().partition(":")
        if name not in FAMILIES or (count and not count.isdigit()):
            raise StageError(f"no prompt family {part.strip()!r}", f"Families: {', '.join(FAMILIES)}")
        families[name] = int(count) if count else sentences_per_skill
    return families


def _extra_body(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise StageError(f"--extra-body is not JSON ({error})") from None
    if not isinstance(values, dict):
        raise StageError("--extra-body must be a JSON object")
    return values


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dataset_builder.build",
        description="Have an LLM write job-ad sentences for ESCO skills, filter them, and write a dataset folder. "
        "The server's key is read from OPENAI_API_KEY. Run the same command again to go on after a stop.",
    )
    add = parser.add_argument_group("what to build").add_argument
    add(
        "--esco",
        nargs="+",
        required=True,
        metavar="PATH",
        help="ESCO zips, folders, a version such as 1.1.0, or one CSV of id,label",
    )
    add("--language", default="en", help="language of ESCO and of the sentences (default: en)")
    add("--version", required=True, help="the dataset's version, such as 0.2.0")
    add("--name", default=DEFAULT_NAME, help=f"the dataset's name (default: {DEFAULT_NAME})")
    add("--out", required=True, metavar="DIR", help="the dataset folder to write")
    add("--previous", metavar="DIR", help="the version before: refuse a version number that hides what changed")
    add("--sentences-per-skill", type=int, default=4, metavar="N", help="lines to ask for per skill (default: 4)")
    add(
        "--at-least",
        type=int,
        default=0,
        metavar="N",
        help="ask again about skills with fewer than N sentences after the filters (default: 0, never)",
    )
    add("--rounds", type=int, default=3, metavar="N", help="times --at-least may ask again (default: 3)")
    add("--families", default="styled", metavar="LIST", help="prompt families with counts: styled,co-mention:2,paper")
    add("--skills-limit", type=int, metavar="N", help="a seeded, spread sample of N skills")
    add("--skills-file", metavar="PATH", help="a text file of skill URIs to ask about")
    add("--seed", type=int, default=13, help="seed of every choice (default: 13)")
    add = parser.add_argument_group("who writes").add_argument
    add("--base-url", required=True, metavar="URL", help="an OpenAI-compatible server, http://127.0.0.1:8000/v1")
    add("--model", required=True, help="the model's name as the server knows it")
    add("--model-name", default="", help="its name in the manifest and the journal (default: --model)")
    add("--provider", default="", help="the server's name in the journal, so that it may move (default: --base-url)")
    heed = "sampling temperature (default: 0.7); transformers serve heeds it only for models whose "
    heed += "generation_config.json says do_sample: true"
    add("--temperature", type=float, default=0.7, help=heed)
    add("--top-p", type=float, default=0.9, help="nucleus sampling (default: 0.9)")
    add("--tokens-per-line", type=int, default=32, metavar="N", help="bounds a reply (default: 32 a line)")
    add("--json-schema", action="store_true", help="ask for JSON by schema, where the server supports it")
    add("--extra-body", metavar="JSON", help="more fields for each request, for servers that know more")
    add = parser.add_argument_group("how much and how fast").add_argument
    add("--concurrency", type=int, default=8, metavar="N", help="requests at once (default: 8)")
    add("--requests-per-minute", type=float, metavar="N", help="bound on requests a minute")
    add("--tokens-per-minute", type=float, metavar="N", help="bound on tokens a minute, read and written")
    add("--timeout", type=float, default=300.0, metavar="S", help="seconds until a reply hangs (default: 300)")
    add("--max-tries", type=int, default=8, metavar="N", help="tries of one request that errors (default: 8)")
    add("--patience", type=float, default=3600.0, metavar="S", help="seconds one request may wait (default: 3600)")
    add("--asks-again", type=int, default=2, metavar="N", help="times a bad reply is asked again, 0 to 2 (default: 2)")
    add("--price", type=float, nargs=2, metavar=("IN", "OUT"), help="US dollars per million tokens")
    add("--budget-usd", type=float, metavar="USD", help="stop before this much is spent")
    add("--budget-tokens", type=int, metavar="N", help="stop before this many tokens are used")
    add("--seconds-per-request", type=float, default=3.0, metavar="S", help="for the time shown by --dry-run")
    add = parser.add_argument_group("what to keep").add_argument
    add("--benchmarks", metavar="DIR", help="folder of benchmark CSVs whose sentences must not appear")
    add("--round-trip-encoder", metavar="DIR_OR_HUB_ID", help="encoder that must find the skill near its sentence")
    add("--round-trip-k", type=int, metavar="K", help="among how many (default: chosen on the validation CSVs)")
    add = parser.add_argument_group("runs").add_argument
    add("--journal", metavar="PATH", help="file of all replies (default: OUT.journal.sqlite)")
    add("--journal-only", action="store_true", help="build from the journal; send nothing")
    add(
        "--batch",
        action="store_true",
        help="use the provider's batch endpoint: each call collects what is finished and sends what is missing, "
        "and the last one builds (give the batch price with --price)",
    )
    add("--dry-run", action="store_true", help="show requests, tokens, money and time; send nothing")
    add("--debug", action="store_true", help="show the traceback of an error")
    return parser
