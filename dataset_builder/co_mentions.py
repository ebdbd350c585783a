"""A skill -> other skills that an ESCO occupation needs beside it, so that a sentence may truly ask for all of them."""

from __future__ import annotations

from collections import defaultdict

from dataset_builder.esco import EscoRelease, Occupation, Skill
from dataset_builder.seeded import stable_number

MAX_PARTNERS = 2


class CoMentions:
    """Which skills go together in a release's occupations, by their essential skills."""

    def __init__(self, release: EscoRelease) -> None:
        self._skills = release.by_uri
        self._needing: dict[str, list[Occupation]] = defaultdict(list)
        for occupation in release.occupations:
            if len(occupation.essential_skills) > 1:
                for uri in occupation.essential_skills:
                    self._needing[uri].append(occupation)

    def partners_of(self, skill: Skill, salt: str) -> tuple[Skill, ...]:
        """One or two other essential skills of one occupation that needs `skill`; none where no occupation does.

        The choice depends on the skill, its occupations and `salt`, and on nothing else.
        """
        occupations = self._needing.get(skill.uri)
        if not occupations:
            return ()
        occupation = min(occupations, key=lambda one: stable_number(f"{salt}|{skill.uri}|{one.uri}"))
        others = [uri for uri in occupation.essential_skills if uri != skill.uri and uri in self._skills]
        others.sort(key=lambda uri: stable_number(f"{salt}|{skill.uri}|{uri}"))
        wanted = 1 + stable_number(f"{salt}|{skill.uri}|partners") % MAX_PARTNERS
        return tuple(self._skills[uri] for uri in others[:wanted])
