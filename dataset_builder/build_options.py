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
from dataset_builder.extra_body import read_extra_body
from dataset_builder.limits import Limits, Price
from dataset_builder.plan import MAX_ATTEMPTS, Endpoint, Sampling
from dataset_builder.prompts import FAMILIES
from dataset_builder.quality_gates import FilterOptions

DEFAULT_NAME = "synthetic-esco-skill-sentences"
ABOVE_ZERO = (
    "sentences_per_skill",
    "skills_limit",
    "tokens_per_line",
    "concurrency",
    "requests_per_minute",
    "tokens_per_minute",
    "timeout",
    "max_tries",
    "patience",
    "round_trip_k",
    "seconds_per_request",
)
NOT_BELOW_ZERO = ("at_least", "rounds", "temperature", "asks_again", "price", "budget_usd", "budget_tokens")
ABOUT = """\
Have an LLM write job-ad sentences for the skills of ESCO or of another taxonomy, filter them, and write a dataset
folder that load_dataset opens. The server's key is read from OPENAI_API_KEY. Every reply is kept in a journal: after a
stop, a crash or a full disk the same command goes on, and asks for nothing that is on file."""
EXAMPLES = """\
what it would cost, without sending anything:
  python -m dataset_builder.build --esco 1.1.0 --version 1.0.0 --out DIR --base-url URL --model NAME \\
      --sentences-per-skill 10 --price 0.15 0.60 --dry-run

two good sentences for nearly every skill, within a budget:
  ... --sentences-per-skill 4 --at-least 2 --price 0.15 0.60 --budget-usd 20

at the batch price; the same command again collects, and builds in the end:
  ... --price 0.075 0.30 --batch"""


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
    most_failed: float
    command: str

    @property
    def keeping_replies(self) -> str:
        """What a remedy adds that names another --out or --version: the journal's place follows from --out."""
        return f", with --journal {self.journal} to keep the replies"


def parse_options(arguments: Sequence[str] | None = None) -> BuildOptions:
    """Read the command line.

    Raises:
        StageError: a value that makes no sense; argparse exits with its own message for an unknown flag.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    parsed = _parser().parse_args(given)
    if not re.fullmatch(r"\d+\.\d+\.\d+", parsed.version):
        raise StageError(f"version {parsed.version!r} is not of the form 1.2.3")
    _check_numbers(parsed)
    if parsed.round_trip_encoder and not (parsed.round_trip_k or parsed.benchmarks):
        raise StageError("--round-trip-encoder needs --round-trip-k, or --benchmarks to choose it on")
    out = Path(parsed.out)
    out = out if out.name not in ("", "..") else out.resolve()
    extra = read_extra_body(parsed.extra_body)
    limits = _limits(parsed)
    sampling = Sampling(
        parsed.temperature,
        parsed.top_p,
        parsed.tokens_per_line,
        parsed.json_schema,
        json.dumps(extra, sort_keys=True) if extra else "",
    )
    has_budget = limits.budget_tokens is not None or limits.budget_usd is not None
    if has_budget and sampling.reply_bound(1) is None:
        raise StageError("--extra-body leaves replies without a bound", "A budget needs max_tokens there, or no null")
    return BuildOptions(
        esco=tuple(parsed.esco),
        language=parsed.language,
        version=parsed.version,
        name=parsed.name,
        out=out,
        previous=parsed.previous,
        journal=Path(parsed.journal) if parsed.journal else out.with_name(f"{out.name}.journal.sqlite"),
        endpoint=Endpoint(parsed.base_url, parsed.model, parsed.provider, parsed.model_name),
        sampling=sampling,
        limits=limits,
        filters=FilterOptions(
            language=parsed.language,
            benchmarks=parsed.benchmarks,
            encoder=parsed.round_trip_encoder,
            round_trip_k=parsed.round_trip_k,
            unfiltered=parsed.unfiltered,
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
        extra_body=extra,
        dry_run=parsed.dry_run,
        journal_only=parsed.journal_only,
        batch=parsed.batch,
        most_failed=parsed.most_failed,
        command=shlex.join(["python", "-m", "dataset_builder.build", *given]),
    )


def _check_numbers(parsed: argparse.Namespace) -> None:
    for name in ABOVE_ZERO:
        value = getattr(parsed, name)
        if value is not None and not value > 0:
            bound = "at least 1" if isinstance(value, int) else "above 0"
            raise StageError(f"--{name.replace('_', '-')} must be {bound}, not {value}")
    for name in NOT_BELOW_ZERO:
        given = getattr(parsed, name)
        for value in given if isinstance(given, list) else [given]:
            if value is not None and not value >= 0:
                raise StageError(f"--{name.replace('_', '-')} must not be below 0, not {value}")
    if not 0 <= parsed.most_failed <= 1:
        raise StageError(f"--most-failed is a share from 0 to 1, not {parsed.most_failed}")
    if not 0 < parsed.top_p <= 1:
        raise StageError(f"--top-p must be above 0 and at most 1, not {parsed.top_p}")


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
        attempts=min(MAX_ATTEMPTS, 1 + parsed.asks_again),
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dataset_builder.build",
        usage="%(prog)s --esco PATH --version X.Y.Z --out DIR --base-url URL --model NAME [more options]",
        description=ABOUT,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    _add_inputs(parser.add_argument_group("what to build"))
    _add_prompts(parser.add_argument_group("what to ask for"))
    _add_server(parser.add_argument_group("who writes"))
    _add_limits(parser.add_argument_group("how fast, and at what price"))
    _add_filters(parser.add_argument_group("what to keep"))
    _add_runs(parser.add_argument_group("runs"))
    return parser


def _add_inputs(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    esco = "ESCO zips or folders, a version such as 1.1.0 to download, or one CSV of any taxonomy with the columns id, "
    esco += "label and, where there are some, description and alternative_labels"
    add("--esco", nargs="+", required=True, metavar="PATH", help=esco)
    add("--language", default="en", metavar="CODE", help="of ESCO and of the sentences (default: %(default)s)")
    add("--out", required=True, metavar="DIR", help="the dataset folder to write; one that exists stays as it is")
    add("--version", required=True, metavar="X.Y.Z", help="the dataset's version")
    previous = "the version before: refuse a number that hides what changed since"
    add("--previous", metavar="DIR", help=previous)
    add("--name", default=DEFAULT_NAME, help="the dataset's name (default: %(default)s)")


def _add_prompts(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    lines = "lines to ask for per skill, in whole requests (default: %(default)s)"
    add("--sentences-per-skill", type=int, default=4, metavar="N", help=lines)
    families = f"prompt families of {', '.join(FAMILIES)}, each with lines a skill where they differ, as in "
    families += "styled:8,co-mention:2 (default: %(default)s)"
    add("--families", default="styled", metavar="LIST", help=families)
    again = "ask again about skills with fewer than N sentences after the filters (default: 0, never)"
    add("--at-least", type=int, default=0, metavar="N", help=again)
    add("--rounds", type=int, default=3, metavar="N", help="times --at-least may ask again (default: %(default)s)")
    add("--skills-limit", type=int, metavar="N", help="a seeded, spread sample of N skills")
    add("--skills-file", metavar="PATH", help="a text file of skill URIs to ask about, one a line")
    add("--seed", type=int, default=13, metavar="N", help="seed of every choice (default: %(default)s)")


def _add_server(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--base-url", required=True, metavar="URL", help="an OpenAI-compatible server: http://127.0.0.1:8000/v1")
    add("--model", required=True, metavar="NAME", help="the model's name as the server knows it")
    add("--model-name", default="", metavar="NAME", help="its name in manifest and journal (default: --model)")
    provider = "the server's name in the journal, so that it may move (default: --base-url)"
    add("--provider", default="", metavar="NAME", help=provider)
    heed = "sampling temperature (default: %(default)s); transformers serve heeds it only for models whose "
    heed += "generation_config.json says do_sample: true"
    add("--temperature", type=float, default=0.7, metavar="T", help=heed)
    add("--top-p", type=float, default=0.9, metavar="P", help="nucleus sampling (default: %(default)s)")
    bound = "bounds a reply: N times the lines asked for (default: %(default)s)"
    add("--tokens-per-line", type=int, default=32, metavar="N", help=bound)
    add("--json-schema", action="store_true", help="ask for JSON by schema, where the server supports it")
    add("--extra-body", metavar="JSON", help="more fields for each request; null leaves one out")


def _add_limits(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--concurrency", type=int, default=8, metavar="N", help="requests at once (default: %(default)s)")
    add("--requests-per-minute", type=float, metavar="N", help="bound on requests a minute")
    add("--tokens-per-minute", type=float, metavar="N", help="bound on tokens a minute, read and written")
    hang = "seconds within which a whole reply must be there, or it counts as hanging (default: %(default)g)"
    add("--timeout", type=float, default=300.0, metavar="S", help=hang)
    tries = "tries of a request that ends in an error other than 'too much' (default: %(default)s)"
    add("--max-tries", type=int, default=8, metavar="N", help=tries)
    patience = "seconds that one request may wait in all (default: %(default)g)"
    add("--patience", type=float, default=3600.0, metavar="S", help=patience)
    again = "times that a bad reply is asked again with another seed, 0 to 2 (default: %(default)s)"
    add("--asks-again", type=int, default=2, metavar="N", help=again)
    add("--price", type=float, nargs=2, metavar=("IN", "OUT"), help="US dollars per million tokens read and written")
    add("--budget-usd", type=float, metavar="USD", help="stop before more than this is spent, all runs together")
    add("--budget-tokens", type=int, metavar="N", help="stop before more tokens than this are used")


def _add_filters(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--benchmarks", metavar="DIR", help="folder of benchmark CSVs: copies and near-copies of their sentences go")
    encoder = "encoder that must find the skill near its sentence (round trip)"
    add("--round-trip-encoder", metavar="DIR_OR_HUB_ID", help=encoder)
    add("--round-trip-k", type=int, metavar="K", help="among how many (default: chosen on *_validation.csv)")
    unfiltered = "keep all but copies of benchmark sentences, to see what the filters are worth"
    add("--unfiltered", action="store_true", help=unfiltered)


def _add_runs(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--dry-run", action="store_true", help="show requests, tokens, money and time; send nothing")
    a_request = "seconds a request takes, for the time that --dry-run shows (default: %(default)g)"
    add("--seconds-per-request", type=float, default=3.0, metavar="S", help=a_request)
    add("--journal", metavar="PATH", help="file of all replies (default: OUT.journal.sqlite)")
    add("--journal-only", action="store_true", help="build from the journal; send nothing")
    batch = "use the provider's batch endpoint: each call collects what is finished and sends what is missing, and the "
    batch += "last one builds (give the batch price with --price)"
    add("--batch", action="store_true", help=batch)
    outage = (
        "write no folder when a larger share of all requests fails, as in an outage; the same command asks for them "
    )
    outage += "again (default: %(default)s)"
    add("--most-failed", type=float, default=0.05, metavar="SHARE", help=outage)
