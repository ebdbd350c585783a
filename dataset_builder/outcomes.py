"""Plan, replies and filters -> what became of every skill: accepted, rejected for a reason, or failed with a class."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from dataset_builder.filters import Report
from dataset_builder.plan import Plan
from dataset_builder.schema import Outcomes
from dataset_builder.sentences import Collected, Sentence

NO_LINE = "no usable line in any reply"
NO_REQUEST = "no request in any prompt family"


def outcomes_of(plan: Plan, collected: Collected, accepted: Sequence[Sentence], report: Report) -> Outcomes:
    """One outcome for each skill of the plan; accepted + rejected + failed = requested."""
    have = {skill.uri for sentence in accepted for skill in sentence.skills}
    failures: dict[str, list[str | None]] = defaultdict(list)
    for index, ask in enumerate(plan.asks):
        failures[ask.skills[0].uri].append(collected.failed.get(index))
    rejected: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for skill in plan.skills:
        if skill.uri in have:
            continue
        classes = failures.get(skill.uri)
        if not classes:
            rejected[NO_REQUEST] += 1
        elif report.reasons_of.get(skill.uri):
            rejected[sorted(report.reasons_of[skill.uri])[0]] += 1
        elif failure := next((one for one in classes if one), None):
            failed[failure] += 1
        else:
            rejected[NO_LINE] += 1
    return Outcomes(
        requested=len(plan.skills),
        accepted=sum(skill.uri in have for skill in plan.skills),
        rejected=dict(sorted(rejected.items())),
        failed=dict(sorted(failed.items())),
    )
