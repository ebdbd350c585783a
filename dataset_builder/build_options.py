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

from dataset_builder.build_arguments import make_parser
from dataset_builder.contract import StageError
from dataset_builder.extra_body import read_extra_body
from dataset_builder.limits import Limits, Price
from dataset_builder.plan import MAX_ATTEMPTS, Endpoint, Sampling
from dataset_builder.prompt_families import FAMILIES
from dataset_builder.quality_gates import FilterOptions
from dataset_builder.versions import check_number
from dataset_builder.whole_folder import Place

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
NOT_BELOW_ZERO = (
    "at_least",
    "round_trip_at_least",
    "rounds",
    "temperature",
    "asks_again",
    "price",
    "budget_usd",
    "budget_tokens",
)


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
    batch_folder: Path | None
    most_failed: float
    command: str

    @property
    def place(self) -> Place:
        """Where the folder goes."""
        return Place(self.out, self.version, self.previous, self.keeping_replies)

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
    parsed = make_parser().parse_args(given)
    check_number(parsed.version)
    if not re.fullmatch("[a-z]{2}", parsed.language):
        raise StageError(f"--language is a code of two letters such as de, not {parsed.language!r}")
    _check_numbers(parsed)
    _check_who_writes(parsed)
    if parsed.round_trip_encoder and not (parsed.round_trip_k or parsed.benchmarks):
        raise StageError("--round-trip-encoder needs --round-trip-k, or --benchmarks to choose it on")
    if parsed.round_trip_at_least and not (parsed.round_trip_encoder and parsed.round_trip_k and parsed.benchmarks):
        raise StageError("--round-trip-at-least needs --round-trip-encoder, --round-trip-k and --benchmarks")
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
            round_trip_at_least=parsed.round_trip_at_least,
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
        batch_folder=Path(parsed.batch_folder) if parsed.batch_folder else None,
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


def _check_who_writes(parsed: argparse.Namespace) -> None:
    if parsed.batch and parsed.batch_folder:
        raise StageError("--batch and --batch-folder exclude each other", "Replies come from one of them")
    if not parsed.base_url and not (parsed.batch_folder and parsed.provider):
        raise StageError("--base-url is missing", "Or give --batch-folder, with --provider for the engine's name")


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
