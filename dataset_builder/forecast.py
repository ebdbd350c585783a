"""A plan and what its journal has -> the requests, tokens, money and time to come, in lines for people."""

from __future__ import annotations

import math

from dataset_builder.build_options import BuildOptions
from dataset_builder.esco import EscoRelease
from dataset_builder.journal import Journal
from dataset_builder.limits import Price, Progress, Tokens, reply_bound
from dataset_builder.pacing import bucket_of
from dataset_builder.plan import Ask, Plan
from dataset_builder.rounds import generation_of, widest_plan

FIRST_PROMPT_RATIO = 1.5  # of a prompt's tokens and its estimate, where no server has counted one


def forecast(plan: Plan, release: EscoRelease, options: BuildOptions) -> str:
    """What the requests that the journal lacks would cost."""
    total = f"{len(plan.asks):,}"
    later = Plan(widest_plan(options, release, plan).asks[len(plan.asks) :], plan.skills)
    todo, progress = _missing(plan, options)
    todo_later, _ = _missing(later, options)
    if options.journal.is_file():
        total = f"{len(todo):,} of {total}, the others have their reply in {options.journal}"
    plan = Plan(tuple(ask for ask, _ in todo), plan.skills)
    out, read = plan.completion_tokens, plan.prompt_tokens
    usd = options.limits.price.of(read, out)
    price = f"{usd:,.2f} US dollars at the given price" if _is_known(options) else "not known (give --price IN OUT)"
    hours, pace = slowest_pace(plan, options)
    rounds = f"rounds              up to {options.rounds} more for skills left with too few"
    return "\n".join(
        [
            f"requests            {total}",
            f"tokens in / out     {read:,} / {out:,} (estimated)",
            f"money               {price}",
            f"at most             {_most([*todo, *todo_later], progress, options)}",
            f"time                {hours:,.2f} h at {pace}",
            *([rounds] if options.rounds else []),
            "Nothing was sent.",
        ]
    )


def _missing(plan: Plan, options: BuildOptions) -> tuple[list[tuple[Ask, int]], Progress]:
    """What the journal lacks, as (ask, attempt to make), and what it says of how long prompts are."""
    if not options.journal.is_file():
        return [(ask, 0) for ask in plan.asks], Progress()
    with Journal(options.journal) as journal:
        generation = generation_of(options, plan, journal)
        return [(plan.asks[index], attempt) for index, attempt in generation.missing()], generation.progress


def slowest_pace(plan: Plan, options: BuildOptions) -> tuple[float, str]:
    """Hours that a plan takes, and which bound it is that makes it so long."""
    limits, requests = options.limits, len(plan.asks)
    at_once = f"{limits.concurrency} at once and {options.seconds_per_request:g} s a request"
    paces = [(requests * options.seconds_per_request / limits.concurrency / 3600, at_once)]
    if limits.requests_per_minute:
        paces.append(
            (_hours(requests, limits.requests_per_minute), f"{limits.requests_per_minute:g} requests a minute")
        )
    if limits.tokens_per_minute:
        # As the sender counts them: before a reply is there, it may be as long as it can.
        tokens = sum(ask.prompt_tokens + reply_bound(len(ask.styles), options.sampling) for ask in plan.asks)
        paces.append((_hours(tokens, limits.tokens_per_minute), f"{limits.tokens_per_minute:g} tokens a minute"))
    return max(paces)


def _hours(amount: int, per_minute: float) -> float:
    return amount / bucket_of(per_minute)[1] / 3600


def _most(todo: list[tuple[Ask, int]], progress: Progress, options: BuildOptions) -> str:
    """The most that a build can use: each reply as long as it may be, each request asked as often, in every round.

    Args:
        todo: (ask, attempt to make) of what the journal lacks, of further rounds as well.
        progress: what the journal says of how long prompts are.
        options: what the build was asked to do.
    """
    if options.sampling.reply_bound(1) is None:
        return "not known: --extra-body leaves replies without a bound"
    attempts = options.limits.attempts
    most = Tokens()
    for ask, attempt in todo:
        times = attempts - attempt
        read = math.ceil(ask.prompt_tokens * (progress.prompt_ratio or FIRST_PROMPT_RATIO))
        most.add(times * read, times * reply_bound(len(ask.styles), options.sampling))
    usd = options.limits.price.of(most.prompt, most.completion)
    money = f", {usd:,.2f} US dollars" if _is_known(options) else ""
    often = "each asked once" if attempts == 1 else f"each asked {attempts} times"
    rounds = ", all rounds" if options.rounds else ""
    longer = "" if progress.prompt_ratio else f", prompts {FIRST_PROMPT_RATIO:g} times their estimate"
    how = f"every reply at its bound{longer}, {often}{rounds}; replies that are lost come on top"
    return f"{most.prompt:,} / {most.completion:,} tokens{money} ({how})"


def _is_known(options: BuildOptions) -> bool:
    return options.limits.price != Price()
