"""A plan -> its replies -> accepted sentences, and more requests for the skills that are left with too few of them.

Which skills are asked about again depends on the plan, the replies and the filters alone: the same journal gives the
same rounds. A round's requests are those that a larger plan would have asked, so that such a plan finds their replies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dataset_builder.build_options import BuildOptions
from dataset_builder.esco import EscoRelease, Skill
from dataset_builder.filters import Report
from dataset_builder.generate import Generation
from dataset_builder.journal import Journal
from dataset_builder.limits import Tokens
from dataset_builder.plan import Ask, Plan, ask_again
from dataset_builder.quality_gates import run_filters
from dataset_builder.round_trip import Encoder, Remembering, load_encoder
from dataset_builder.sentences import Collected, Sentence, collect


@dataclass(frozen=True)
class Outcome:
    """What is final when nothing more is to be asked; `asked_again` counts the skills of each further round."""

    plan: Plan
    collected: Collected
    accepted: list[Sentence]
    report: Report
    asked_again: tuple[int, ...] = ()


def run_rounds(
    options: BuildOptions,
    release: EscoRelease,
    plan: Plan,
    journal: Journal,
    get_replies: Callable[[Generation], bool],
    say: Callable[[str], None],
    encoder: Encoder | None = None,
) -> Outcome | None:
    """Get replies and filter them, again and again while skills have too few sentences and rounds are left.

    Args:
        options: what the build was asked to do.
        release: where the skills come from.
        plan: the first round.
        journal: where replies are kept.
        get_replies: asks for what the journal lacks; False when the replies will come later.
        say: tells people what happens.
        encoder: of the round trip, in place of the one that the options name.

    Returns:
        The outcome, or None when replies are still to come.
    """
    if encoder is None and options.filters.encoder:
        encoder = load_encoder(options.filters.encoder)
    remembering = Remembering(encoder) if encoder else None
    asked_again: tuple[int, ...] = ()
    lost = Tokens()
    may_be_asked, first = asks_of_rounds(options, release, plan, journal), len(plan.asks)
    while True:
        asked = set(plan.asks[first:])
        later = [ask for ask in may_be_asked if ask not in asked]
        generation = generation_of(options, plan, journal, later)
        generation.progress.lost = lost  # what one round lost is paid for in the next one as well
        if not get_replies(generation):
            return None
        collected, report = collect(generation), Report()
        accepted = run_filters(collected.sentences, release, options.filters, report, remembering)
        outcome = Outcome(plan, collected, accepted, report, asked_again)
        if len(asked_again) == options.rounds:
            return outcome
        wider = _next_round(options, release, outcome, journal)
        more = len(wider.asks) - len(plan.asks)
        if not more:
            return outcome
        say(f"{more:,} skills have fewer than {options.at_least} sentences and are asked about again")
        asked_again, plan = (*asked_again, more), wider


def short_skills(skills: Sequence[Skill], accepted: Sequence[Sentence], at_least: int) -> list[Skill]:
    """The skills with fewer accepted sentences than `at_least`."""
    have = Counter(skill.uri for sentence in accepted for skill in sentence.skills)
    return [skill for skill in skills if have[skill.uri] < at_least]


def _next_round(options: BuildOptions, release: EscoRelease, outcome: Outcome, journal: Journal) -> Plan:
    short = short_skills(outcome.plan.skills, outcome.accepted, options.at_least)
    wider = ask_again(outcome.plan, release, list(options.families), options.seed, short)
    if options.journal_only:
        # A round that was never sent is none.
        new = Plan(wider.asks[len(outcome.plan.asks) :], wider.skills)
        if not any(chain.entries for chain in generation_of(options, new, journal).chains()):
            return outcome.plan
    return wider


def asks_of_rounds(options: BuildOptions, release: EscoRelease, plan: Plan, journal: Journal) -> tuple[Ask, ...]:
    """All that rounds after the first can ask, or have asked, for a budget to count; none where there is no budget."""
    if options.limits.budget_tokens is None and options.limits.budget_usd is None:
        return ()
    wider = widest_plan(options, release, plan)
    while True:  # an earlier run may have had more rounds
        further = ask_again(wider, release, list(options.families), options.seed, plan.skills)
        new = Plan(further.asks[len(wider.asks) :], wider.skills)
        if not any(chain.entries for chain in generation_of(options, new, journal).chains()):
            return wider.asks[len(plan.asks) :]
        wider = further


def widest_plan(options: BuildOptions, release: EscoRelease, plan: Plan) -> Plan:
    """The first round's plan with all that further rounds can ask: about each skill, in each round."""
    for _ in range(options.rounds):
        plan = ask_again(plan, release, list(options.families), options.seed, plan.skills)
    return plan


def generation_of(options: BuildOptions, plan: Plan, journal: Journal, later: Sequence[Ask] = ()) -> Generation:
    """The plan with the options' server, sampling and limits; what is on file of `later` rounds counts as spent."""
    return Generation(plan, journal, options.endpoint, options.sampling, options.limits, options.language, later)
