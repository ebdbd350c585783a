"""Everything a build found out -> a dataset folder: Parquet, card, and the manifest last."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from dataset_builder import schema
from dataset_builder.build_options import BuildOptions
from dataset_builder.chat_client import with_extra
from dataset_builder.contract import StageError, code_version, sha256_of_file, write_atomically
from dataset_builder.dataset_folder import write_tables
from dataset_builder.esco import EscoRelease
from dataset_builder.outcomes import outcomes_of
from dataset_builder.plan import Plan
from dataset_builder.prompt_families import FAMILIES
from dataset_builder.quality import histograms, measure
from dataset_builder.quality_gates import FilterOptions
from dataset_builder.round_trip import VALIDATION_RECALL, encoder_used
from dataset_builder.rounds import Outcome
from dataset_builder.whole_folder import write_whole

MIN_SENTENCES = 2  # one for each split
FAILURES_FILE = "failed_requests.jsonl"


@dataclass(frozen=True)
class ReleaseFacts:
    """What a build knows when its sentences are final."""

    options: BuildOptions
    release: EscoRelease
    outcome: Outcome


def write_release(facts: ReleaseFacts) -> tuple[schema.DatasetManifest, bool]:
    """Write the folder.

    Returns:
        The manifest, and whether anything was written (False when the same content is there already).

    Raises:
        StageError: nothing was asked for, no sentence was accepted, or the folder holds other content.
    """
    options = facts.options
    accepted = facts.outcome.accepted
    plan = facts.outcome.plan
    if not plan.asks:
        # Some families ask about a skill by an occupation that needs it.
        why = f"no occupation fits {' or '.join(options.families)} for any of its {len(plan.skills):,} skills"
        remedy = "Take a family such as styled too"
        if not plan.skills:
            why, remedy = "it has no skill", "Name some in --skills-file"
        raise StageError(f"the plan asks for nothing: {why}", remedy)
    if len(accepted) < MIN_SENTENCES:
        count = "no sentence was" if not accepted else "a single sentence was"
        raise StageError(f"{count} accepted{_why(facts)}", "Look at the server's replies in the journal")

    def fill(folder: Path) -> schema.DatasetManifest:
        _write_failures(folder, facts)
        return make_manifest(facts, write_tables(folder, accepted, facts.release.skills))

    return write_whole(options.place, fill)


def make_manifest(facts: ReleaseFacts, files: list[schema.DatasetFile]) -> schema.DatasetManifest:
    """All facts of the build as a manifest."""
    options, outcome = facts.options, facts.outcome
    collected, accepted = outcome.collected, outcome.accepted
    price = options.limits.price
    cost = price.of(collected.prompt_tokens, collected.completion_tokens)
    return schema.DatasetManifest(
        schema_version=schema.DatasetManifest.SCHEMA_VERSION,
        name=options.name,
        version=options.version,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        code_version=code_version(),
        seed=options.seed,
        esco=facts.release.source,
        prompts=[
            schema.PromptText(
                family=family,
                version=f"{FAMILIES[family].version} sheet {number}",
                system=sheet.readable(facts.release.language),
                user=sheet.user,
            )
            for family in options.families
            for number, sheet in enumerate(FAMILIES[family].sheets, 1)
        ],
        language_model=language_model(options, outcome.plan),
        sentences_per_skill=options.sentences_per_skill,
        families=options.families,
        filters=filters_used(options.filters),
        at_least=options.at_least,
        asked_again=list(outcome.asked_again),
        skills=outcomes_of(outcome.plan, collected, accepted, outcome.report),
        sentences_written=len(collected.sentences),
        sentences_accepted=len(accepted),
        sentences_rejected=dict(sorted(outcome.report.rejected.items())),
        replies=dict(sorted(collected.faults.items())),
        tokens=schema.TokenUse(
            requests=collected.replies,
            prompt_tokens=collected.prompt_tokens,
            completion_tokens=collected.completion_tokens,
            cost_usd=cost if price.usd_per_million_in or price.usd_per_million_out else None,
        ),
        quality={
            **measure(accepted, len(facts.release.skills)),
            "round_trip_k": outcome.report.round_trip_k,
            **({"round_trip_far": outcome.report.round_trip_far} if outcome.report.round_trip_far else {}),
        },
        files=files,
        histograms=histograms(accepted),
        rejected_examples=dict(sorted(outcome.report.examples.items())),
    )


def language_model(options: BuildOptions, plan: Plan) -> schema.LanguageModel:
    """Who wrote, and the sampling that requests really asked for: --extra-body may change it, or leave it out."""
    sampling = options.sampling
    longest = max((ask.max_tokens(sampling) for ask in plan.asks), default=0)
    ours = {"temperature": sampling.temperature, "top_p": sampling.top_p, "max_tokens": longest}
    sent = with_extra(ours, options.extra_body)
    bound = _number(sent, "max_tokens") or _number(sent, "max_completion_tokens")
    return schema.LanguageModel(
        model=options.endpoint.identity[1],
        base_url=bare_url(options.endpoint.base_url),
        temperature=_number(sent, "temperature"),
        top_p=_number(sent, "top_p"),
        max_tokens=None if bound is None else int(bound),
        json_schema=sampling.json_schema,
        extra_body=sampling.extra,
        provider=options.endpoint.provider,
    )


def _number(sent: dict[str, Any], name: str) -> float | None:
    """A field of a request where it is a number: a server may take other values, which `extra_body` shows."""
    value = sent.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def filters_used(options: FilterOptions) -> schema.FiltersUsed:
    """What the filters were given, without the places of this machine."""
    files = sorted(Path(options.benchmarks).glob("*.csv")) if options.benchmarks else []
    encoder, weights_sha256 = encoder_used(options.encoder or "")
    chosen = bool(options.encoder) and options.chooses_rank and not options.unfiltered
    return schema.FiltersUsed(
        round_trip_encoder=encoder,
        round_trip_weights_sha256=weights_sha256,
        round_trip_chosen_on=[file.name for file in files if file.name.endswith("_validation.csv")] if chosen else [],
        round_trip_recall=VALIDATION_RECALL if chosen else None,
        round_trip_at_least=options.round_trip_at_least,
        benchmarks_sha256={file.name: sha256_of_file(file) for file in files},
        unfiltered=options.unfiltered,
    )


def bare_url(url: str) -> str:
    """The URL without credentials, query and fragment."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, f"{host}:{parts.port}" if parts.port else host, parts.path, "", ""))


def _write_failures(folder: Path, facts: ReleaseFacts) -> None:
    lines = []
    for index, kind in sorted(facts.outcome.collected.failed.items()):
        ask = facts.outcome.plan.asks[index]
        lines.append(json.dumps({"request": ask.about, "skills": [one.uri for one in ask.skills], "class": kind}))
    if lines:
        write_atomically(folder / FAILURES_FILE, "\n".join(lines) + "\n")


def _why(facts: ReleaseFacts) -> str:
    collected = facts.outcome.collected
    if collected.failed and not collected.replies:
        kinds = sorted(set(collected.failed.values()))
        return f": all requests failed ({', '.join(kinds)})"
    if not collected.sentences:
        which = ", ".join(f"{fault}: {count:,}" for fault, count in collected.faults.most_common())
        return f": none of {collected.replies:,} replies had a usable line ({which})"
    return f": {len(collected.sentences)} were written, and the filters rejected all"
