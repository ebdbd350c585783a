"""A skill -> an ESCO occupation that needs it, and other skills that one needs beside it.

So a sentence may speak of a real workplace of the skill, or truly ask for several skills.
"""

from __future__ import annotations

from collections import defaultdict

from dataset_builder.esco import EscoRelease, Occupation, Skill
from dataset_builder.seeded import stable_number

MAX_PARTNERS = 2


class CoMentions:
    """Which skills go together in a release's occupations, and where they are at work."""

    def __init__(self, release: EscoRelease) -> None:
        self._skills = release.by_uri
        self._needing: dict[str, list[Occupation]] = defaultdict(list)
        self._using: dict[str, list[Occupation]] = defaultdict(list)
        for occupation in release.occupations:
            for uri in occupation.essential_skills:
                self._needing[uri].append(occupation)
            for uri in occupation.optional_skills:
                self._using[uri].append(occupation)

    def occupation_of(self, skill: Skill, salt: str) -> Occupation | None:
        """An occupation that `skill` is essential for, or else one that it is optional for; None where there is none.

        The choice depends on the skill, its occupations and `salt`, and on nothing else.
        """
        return _pick(self._needing.get(skill.uri) or self._using.get(skill.uri) or [], skill, salt)

    def partners_of(self, skill: Skill, salt: str) -> tuple[Skill, ...]:
        """One or two other essential skills of one occupation that needs `skill`; none where no occupation does.

        The choice depends on the skill, its occupations and `salt`, and on nothing else.
        """
        occupations = [one for one in self._needing.get(skill.uri, []) if len(one.essential_skills) > 1]
        occupation = _pick(occupations, skill, salt)
        if occupation is None:
            return ()
        others = [uri for uri in occupation.essential_skills if uri != skill.uri and uri in self._skills]
        others.sort(key=lambda uri: stable_number(f"{salt}|{skill.uri}|{uri}"))
        wanted = 1 + stable_number(f"{salt}|{skill.uri}|partners") % MAX_PARTNERS
        return tuple(self._skills[uri] for uri in others[:wanted])


def _pick(occupations: list[Occupation], skill: Skill, salt: str) -> Occupation | None:
    return min(occupations, key=lambda one: stable_number(f"{salt}|{skill.uri}|{one.uri}"), default=None)
