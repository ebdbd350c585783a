"""What the page and its endpoints do, without any Gradio: texts in, matches or a plain sentence about the problem out.

Holds the finder and nothing of any visitor but, for an hour, own lists of skills.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from documents import MAX_TEXT_CHARS, UnreadableFileError, read_document
from downloads import as_records
from page_lists import OwnList, OwnLists
from page_markup import whole_letters
from passage_scores import read_units
from skill_finder import SkillFinder, SkillFinderError
from skill_index import sha256_of_lines
from skill_match import SkillMatch, pairs_of_same
from taxonomy import encode_skills, parse_skills

MAX_PAGE_SKILLS = 5_000
# Half a minute of two cores; a long ad or CV has some 2,000 lines.
MAX_PAGE_PASSAGES = 6_000
# Each of two texts that are compared.
MAX_COMPARED_PASSAGES = MAX_PAGE_PASSAGES // 2
MAX_TOP_K = 200
MAX_PAGE_ALIASES = 50_000
# ESCO has 77 at most. Each is compared with each passage.
MAX_ALIASES_OF_A_SKILL = 100
_KINDS: dict[Any, tuple[tuple[type, ...], str]] = {
    str: ((str,), "text"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
}


class PageError(ValueError):
    """A sentence for the visitor."""


@dataclass(frozen=True)
class Comparison:
    """Skills of two texts: in both, only in the first, only in the second."""

    common: list[SkillMatch]
    only_first: list[SkillMatch]
    only_second: list[SkillMatch]


@dataclass
class PageService:
    """A finder behind limits. `note` says what a visitor should know about the model, "" when nothing."""

    finder: SkillFinder
    note: str = ""
    version: str = ""
    lists: OwnLists = field(default_factory=OwnLists, repr=False)

    def find(
        self,
        text: str,
        threshold: float | None = None,
        top_k: int | None = None,
        merge: bool = True,
        own: OwnList | None = None,
        most_passages: int = MAX_PAGE_PASSAGES,
    ) -> list[SkillMatch]:
        """Skills of a text, of the visitor's own list where there is one.

        Raises:
            PageError: no text, too long or too finely cut a one, a setting out of range, or a list that is forgotten.
        """
        text = checked_text(text)
        if top_k is not None and not 1 <= top_k <= MAX_TOP_K:
            raise PageError(f"The number of skills must be between 1 and {MAX_TOP_K}.")
        finder = self.lists.get(own.key) if own else self.finder
        if finder is None:
            raise PageError("Your list is no longer kept. Open it again.")
        passages = sum(len(unit.spans) for unit in read_units(text) if not unit.cannot_ask)
        if passages > most_passages:
            raise PageError(
                f"The text has {passages:,} lines, sentences and list items; "
                f"the limit is {most_passages:,}. Take a part of it."
            )
        try:
            return finder.find_skills(text, top_k=top_k, threshold=threshold, merge=merge)
        except SkillFinderError as error:
            raise PageError(f"{str(error)[:1].upper()}{str(error)[1:]}.") from None

    def rank(self, sentence: str, top_k: int = 20) -> list[SkillMatch]:
        """The skills nearest to one sentence.

        Raises:
            PageError: no sentence, too long a one, or a number out of range.
        """
        if not 1 <= top_k <= MAX_TOP_K:
            raise PageError(f"The number of skills must be between 1 and {MAX_TOP_K}.")
        sentence = checked_text(sentence, "Write a sentence first.")
        if len(sentence) > 2000:
            raise PageError("That is more than a sentence. Use the first tab for a whole text.")
        return self.finder.rank(sentence, top_k)

    def compare(self, first: str, second: str, threshold: float | None = None) -> Comparison:
        """Which skills of one text the other has too. Near-duplicates count as the same skill.

        Raises:
            PageError: a text is missing, too long or too finely cut.
        """
        texts = checked_text(first, "Paste the job ad first."), checked_text(second, "Paste the CV first.")
        of_first, of_second = (self.find(text, threshold, most_passages=MAX_COMPARED_PASSAGES) for text in texts)
        shared = list(pairs_of_same(of_first, of_second, self.finder.index))
        firsts, seconds = {one.uri for one, _ in shared}, {other.uri for _, other in shared}
        return Comparison(
            common=[match for match in of_first if match.uri in firsts],
            only_first=[match for match in of_first if match.uri not in firsts],
            only_second=[match for match in of_second if match.uri not in seconds],
        )

    def read_file(self, data: bytes, name: str) -> str:
        """Text of a dropped file.

        Raises:
            PageError: the file cannot be read, and why.
        """
        try:
            return read_document(data, name)
        except UnreadableFileError as error:
            raise PageError(str(error)) from None

    def own_list(self, data: bytes, progress: Callable[[int, int], None] | None = None) -> OwnList:
        """Read a visitor's own CSV of skills. Its vectors are kept in memory for a while, by the hash of the names.

        Raises:
            PageError: not a list of skills, or too long a one for the page.
        """
        try:
            skills = parse_skills(data, "The file")
        except SkillFinderError as error:
            raise PageError(f"{error}.") from None
        if len(skills) > MAX_PAGE_SKILLS:
            raise PageError(f"The list has {len(skills):,} skills; the page takes {MAX_PAGE_SKILLS:,} at most.")
        aliases = sum(len(skill.alternative_labels) for skill in skills)
        if aliases > MAX_PAGE_ALIASES:
            raise PageError(f"The list has {aliases:,} aliases; the page takes {MAX_PAGE_ALIASES:,} at most.")
        most = max(skills, key=lambda skill: len(skill.alternative_labels))
        count = len(most.alternative_labels)
        if count > MAX_ALIASES_OF_A_SKILL:
            raise PageError(f"{most.label[:80]} has {count:,} aliases; a skill may have {MAX_ALIASES_OF_A_SKILL}.")
        key = sha256_of_lines(
            [f"{skill.uri}\t{skill.label}\t{skill.alternative_labels}\t{skill.type}\t{skill.group}" for skill in skills]
        )
        finder = self.lists.get(key)
        if finder is None:
            index = encode_skills(skills, self.finder.encoder, "your list", progress=progress)
            finder = self.finder.with_skills(index)
        return self.lists.keep(key, finder)

    def about(self) -> dict[str, str]:
        """What made a result: model, backend, taxonomy."""
        return {
            "model": self.version or self.finder.name,
            "backend": self.finder.backend,
            "taxonomy": self.finder.index.taxonomy,
        }

    # The endpoints. Their signatures and docstrings are what programs and assistants see.

    def find_skills(self, text: str, threshold: float = -1.0, top_k: int = 50) -> list[dict[str, Any]]:
        """Find the skills that a job ad or CV names, each with its id, score and the places that show it.

        Args:
            text: the ad or CV, plain text or HTML, at most 100,000 characters.
            threshold: least score from 0 to 1; -1 takes the calibrated one.
            top_k: at most so many skills.

        Returns:
            Skills, best first; offsets count code points of the text as it was sent.
        """
        text = checked_text(text)
        return as_records(self.find(text, None if threshold < 0 else threshold, top_k), text)

    def rank_sentence(self, sentence: str, top_k: int = 20) -> list[dict[str, Any]]:
        """Rank the skills nearest to one sentence, whatever their score.

        Args:
            sentence: one sentence of a job ad.
            top_k: how many skills.

        Returns:
            Skills with the score that the model ranks by, best first: the cosine, or for a model that scores by tokens
            that score, alone or mixed with the cosine.
        """
        return [
            {"label": match.label, "uri": match.uri, "type": match.type, "score": round(match.score, 4)}
            for match in self.rank(sentence, top_k)
        ]

    def esco_skills(self, text: str) -> str:
        """Find the ESCO skills in a job ad or CV.

        Args:
            text: the ad or CV as plain text, at most 100,000 characters.

        Returns:
            JSON: a list of ESCO ids (uri) and labels, best first; an empty list when the text asks for no skill.
        """
        found = [{"uri": match.uri, "label": match.label} for match in self.find(text, top_k=MAX_TOP_K)]
        # A tool's reply is text, and Gradio would write a list as Python does.
        return json.dumps(found, ensure_ascii=False)


def checked_call(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Result of an endpoint, whose callers may send anything.

    Raises:
        PageError: a value is not of the kind that the endpoint's signature names.
    """
    kinds = get_type_hints(method)
    for name, value in inspect.signature(method).bind(*args, **kwargs).arguments.items():
        accepted, called = _KINDS[kinds[name]]
        if isinstance(value, bool) or not isinstance(value, accepted):
            raise PageError(f"{name} must be {called}.")
    return method(*args, **kwargs)


def checked_text(text: str | None, missing: str = "Paste a text first.") -> str:
    """The text itself; half a letter becomes a mark of its length, so that offsets stay.

    Raises:
        PageError: it is blank or too long.
    """
    if not text or not text.strip():
        raise PageError(missing)
    if len(text) > MAX_TEXT_CHARS:
        raise PageError(f"The text has {len(text):,} characters; the limit is {MAX_TEXT_CHARS:,}. Take a part of it.")
    return whole_letters(text)
