"""Skills and prompt families -> the requests to make, in a stable order, with their tokens and money.

The same release, families and seed give the same requests in the same order. Breadth comes first: every skill once,
then every skill again. What is asked about a skill depends on that skill alone, so that one more skill in the plan
adds requests for that skill only.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import count
from json.encoder import encode_basestring_ascii
from pathlib import Path

from dataset_builder.co_mentions import CoMentions
from dataset_builder.collector import collector_paused
from dataset_builder.contract import StageError
from dataset_builder.esco import EscoRelease, Skill
from dataset_builder.extra_body import TOKEN_BOUNDS
from dataset_builder.prompt_families import FAMILIES
from dataset_builder.prompts import Message, describe
from dataset_builder.seeded import stable_number

MAX_ATTEMPTS = 3  # the first try and two more with other seeds
BYTES_PER_TOKEN = 4.2  # of UTF-8; English text in the tokenisers of 2024 to 2026
TOKENS_PER_LINE = 20


@dataclass(frozen=True)
class Sampling:
    """How the model is sampled. `tokens_per_line` bounds a reply: max_tokens is that times the lines asked for.

    `extra` is the JSON of the further fields of a request, "" where there are none.
    """

    temperature: float = 0.8
    top_p: float = 0.95
    tokens_per_line: int = 32
    json_schema: bool = False
    extra: str = ""

    def max_tokens(self, lines: int) -> int:
        """Bound on the tokens of a reply with so many lines."""
        return self.tokens_per_line * lines + 8

    def reply_bound(self, lines: int) -> int | None:
        """Tokens that a reply can cost at most; None where `extra` lifts every bound."""
        extra = json.loads(self.extra) if self.extra else {}
        given = [extra[name] for name in TOKEN_BOUNDS if extra.get(name) is not None]
        if given:
            return max(int(value) for value in given)
        return None if "max_tokens" in extra else self.max_tokens(lines)


@dataclass(frozen=True)
class Endpoint:
    """Who answers: `model` is sent; `provider` and `model_name` stand for server and model in keys and records."""

    base_url: str
    model: str
    provider: str = ""
    model_name: str = ""

    @property
    def identity(self) -> tuple[str, str]:
        """(provider, model) as the journal knows them; a slash at the end of the address says nothing."""
        return self.provider or self.base_url.rstrip("/"), self.model_name or self.model


@dataclass(frozen=True)
class Ask:
    """One request of the plan: one prompt sheet filled with one or more skills; `part` counts a skill's requests.

    The first skill is the one that the plan asks about; a co-mention request names others beside it. `occupation` is
    the label of the one that the request names, if it names one. `is_twin` says that a skill before it reads the same,
    down to the end of its URI.
    """

    family: str
    sheet: int
    skills: tuple[Skill, ...]
    part: int
    seed: int
    language: str = "en"
    occupation: str = ""
    is_twin: bool = False

    @property
    def styles(self) -> tuple[str, ...]:
        """Style of each line asked for."""
        return FAMILIES[self.family].sheets[self.sheet].styles

    @property
    def messages(self) -> list[Message]:
        """Chat messages as they are sent."""
        return FAMILIES[self.family].sheets[self.sheet].messages(self.skills, self.language, self.occupation)

    @property
    def user_text(self) -> str:
        """The last of the messages: what differs between requests."""
        return FAMILIES[self.family].sheets[self.sheet].user_text(self.skills, self.occupation)

    @property
    def about(self) -> str:
        """Which request this is, in short, for people who read the journal."""
        uri = self.skills[0].uri
        return f"{self.family}@{FAMILIES[self.family].version} {uri if self.is_twin else _tail(uri)} #{self.part}"

    def max_tokens(self, sampling: Sampling) -> int:
        """Bound on the reply's tokens."""
        return sampling.max_tokens(len(self.styles))

    def seed_of(self, attempt: int) -> int:
        """Sampling seed of an attempt (from 0)."""
        return stable_number(f"{self.seed}|{self.about}|{attempt}") % 2**31

    def key(self, endpoint: Endpoint, sampling: Sampling, attempt: int) -> str:
        """SHA-256 over everything that the answer depends on."""
        before, after = _shared_json(self.family, self.sheet, self.language, endpoint, sampling)
        user = encode_basestring_ascii(self.user_text)
        request = f"[{before}, {user}, {after}, {self.seed_of(attempt)}, {attempt}]"
        return hashlib.sha256(request.encode("ascii")).hexdigest()

    @property
    def prompt_tokens(self) -> int:
        """Estimate of the prompt's tokens."""
        return round(self.prompt_bytes / BYTES_PER_TOKEN) + 8

    @property
    def prompt_bytes(self) -> int:
        """Bytes of the messages' texts in UTF-8."""
        return _prefix_bytes(self.family, self.sheet, self.language) + len(self.user_text.encode("utf-8"))


@dataclass(frozen=True)
class Plan:
    """All requests in order, and the skills that they are about, in the release's order."""

    asks: tuple[Ask, ...]
    skills: tuple[Skill, ...]

    @cached_property
    def prompt_tokens(self) -> int:
        """Expected tokens of all prompts."""
        return sum(ask.prompt_tokens for ask in self.asks)

    @cached_property
    def completion_tokens(self) -> int:
        """Expected tokens of all replies."""
        return sum(TOKENS_PER_LINE * len(ask.styles) for ask in self.asks)


def make_plan(
    release: EscoRelease, families: dict[str, int], seed: int = 13, skills: Sequence[Skill] | None = None
) -> Plan:
    """Plan the requests for `skills` (all of the release when None).

    Args:
        release: where the skills and their occupations come from.
        families: lines to ask for per skill, by family name; rounded up to whole requests.
        seed: changes which sheet comes first, partners and sampling.
        skills: the skills to ask about.

    Raises:
        StageError: an unknown family, or a count below one.
    """
    chosen = tuple(release.skills if skills is None else skills)
    for family, lines in families.items():
        if family not in FAMILIES:
            raise StageError(f"no prompt family {family!r}", f"Families: {', '.join(FAMILIES)}")
        if lines < 1:
            raise StageError(f"family {family!r} with {lines} lines a skill", "Ask for at least 1")
        if FAMILIES[family].needs_occupations and not any(one.essential_skills for one in release.occupations):
            problem = f"family {family!r} needs occupations with their skills, and {release.version!r} has none"
            raise StageError(problem, "Give ESCO's occupationSkillRelations as well, or leave the family out")
    first_sheets = [stable_number(f"{seed}|{skill.uri}") for skill in chosen]
    asker = _Asker(release, seed)
    asks: list[Ask] = []
    asked = dict.fromkeys(families, 0)
    with collector_paused():
        for part in count():
            going = [family for family, lines in families.items() if asked[family] < lines]
            if not going:
                break
            for family in going:
                for skill, first in zip(chosen, first_sheets, strict=True):
                    asks.extend(asker.asks(skill, first, family, part))
                asked[family] += min(len(sheet.styles) for sheet in FAMILIES[family].sheets)
    return Plan(tuple(asks), chosen)


def ask_again(plan: Plan, release: EscoRelease, families: Sequence[str], seed: int, skills: Sequence[Skill]) -> Plan:
    """The plan with one more request at its end for each of some skills: the next part, as a larger plan would ask it.

    The family is the first that can ask about every skill, or the first where none can; a skill that the family cannot
    ask about gets no request.
    """
    family = next((name for name in families if not FAMILIES[name].needs_occupations), families[0])
    parts = Counter(ask.skills[0].uri for ask in plan.asks if ask.family == family)
    asker = _Asker(release, seed)
    more: list[Ask] = []
    for skill in skills:
        more.extend(asker.asks(skill, stable_number(f"{seed}|{skill.uri}"), family, parts[skill.uri]))
    return Plan((*plan.asks, *more), plan.skills)


class _Asker:
    """Makes the requests of a plan."""

    def __init__(self, release: EscoRelease, seed: int) -> None:
        self._language, self._seed = release.language, seed
        self._co_mentions = CoMentions(release)
        self._twins = _twins(release.skills)

    def asks(self, skill: Skill, first_sheet: int, family: str, part: int) -> Iterator[Ask]:
        """One request about a skill, or none where the family needs partners or an occupation that it does not have."""
        about, salt = FAMILIES[family], f"{self._seed}|{part}"
        partners = () if about.skills_per_request == 1 else self._co_mentions.partners_of(skill, salt)
        occupation = self._co_mentions.occupation_of(skill, salt) if about.names_occupation else None
        if (about.skills_per_request > 1 and not partners) or (about.names_occupation and occupation is None):
            return
        sheet = (first_sheet + part) % len(about.sheets)
        label = occupation.label if occupation else ""
        is_twin = skill.uri in self._twins
        yield Ask(family, sheet, (skill, *partners), part, self._seed, self._language, label, is_twin)


def _twins(skills: Sequence[Skill]) -> set[str]:
    """URIs of skills about which the same would be asked, under the same name, as about one before them."""
    tails = Counter(_tail(skill.uri) for skill in skills)
    seen: set[tuple[str, str]] = set()
    twins: set[str] = set()
    for skill in skills:
        if tails[_tail(skill.uri)] > 1:
            what = _tail(skill.uri), describe(skill)
            twins |= {skill.uri} if what in seen else set()
            seen.add(what)
    return twins


def _tail(uri: str) -> str:
    return uri.rsplit("/", 1)[-1]


def sample_skills(release: EscoRelease, limit: int, seed: int) -> tuple[Skill, ...]:
    """A spread sample: the `limit` skills whose seeded hash is smallest, in the release's order.

    A larger limit keeps the skills of a smaller one.
    """
    if limit < 1:
        raise StageError(f"a limit of {limit} skills leaves none")
    ranked = sorted(release.skills, key=lambda skill: stable_number(f"{seed}|{skill.uri}"))
    kept = {skill.uri for skill in ranked[:limit]}
    return tuple(skill for skill in release.skills if skill.uri in kept)


def skills_in_file(release: EscoRelease, path: str | Path) -> tuple[Skill, ...]:
    """The skills whose URIs a text file lists, one a line, in the release's order.

    Raises:
        StageError: no such file, one that is not UTF-8, or a URI that the release lacks.
    """
    if not Path(path).is_file():
        raise StageError(f"{path} does not exist", "Give a text file with one skill URI a line")
    wanted: set[str] = set()
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise StageError(f"{path} is not UTF-8 text ({error.reason})") from None
    for number, line in enumerate(text.splitlines(), 1):
        uri = line.strip()
        if uri and uri not in release.by_uri:
            raise StageError(f"{path} line {number}: {uri} is no skill of {release.source.name}")
        wanted.add(uri)
    return tuple(skill for skill in release.skills if skill.uri in wanted)


@lru_cache(maxsize=64)
def _shared_json(family: str, sheet: int, language: str, endpoint: Endpoint, sampling: Sampling) -> tuple[str, str]:
    """The JSON of a request before and after its user text: the same for all requests of a sheet in one build."""
    about = FAMILIES[family].sheets[sheet]
    prefix = hashlib.sha256(json.dumps(about.prefix(language)).encode("utf-8")).hexdigest()
    before = json.dumps([*endpoint.identity, prefix])[1:-1]
    max_tokens = sampling.max_tokens(len(about.styles))
    after = [sampling.temperature, sampling.top_p, max_tokens, sampling.json_schema]
    # Only where there is one: journals of before are keyed without.
    return before, json.dumps([*after, *([sampling.extra] if sampling.extra else [])])


@lru_cache(maxsize=64)
def _prefix_bytes(family: str, sheet: int, language: str) -> int:
    return sum(len(message["content"].encode("utf-8")) for message in FAMILIES[family].sheets[sheet].prefix(language))
