"""The dataset folder's contract: column names, `datasets.Features`, and DatasetManifest <-> manifest.json.

A dataset folder holds README.md (the card, whose YAML names the configs), pairs/train.parquet,
pairs/validation.parquet, skills/skills.parquet and, written last, manifest.json.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from dataset_builder.contract import Record, Strict

if TYPE_CHECKING:
    from datasets import Features

FOLDS = 10

# Config "pairs": one row a (sentence, skill) pair.
SENTENCE = "sentence"
SKILL = "skill"
SKILL_URI = "skill_uri"
SKILLS = "skills"
STYLE = "style"
FAMILY = "family"
FOLD = "fold"
MODEL = "model"  # only where several LLMs wrote

# Config "skills": one row a skill of the label space, in label-space order.
URI = "uri"
LABEL = "label"
ALTERNATIVE_LABELS = "alternative_labels"
TYPE = "type"

# Versions of ESCO as the European Commission publishes them.
_OFFICIAL = re.compile(r"\d+\.\d+(?:\.\d+)?")

PAIRS_FILES = {"train": "pairs/train.parquet", "validation": "pairs/validation.parquet"}
SKILLS_FILE = "skills/skills.parquet"


def pairs_features(with_model: bool = False) -> Features:
    """Columns of the config `pairs`. `skills` holds every label the sentence asks for, `skill` first.

    `with_model` adds the LLM that wrote the sentence, which a dataset by several has.
    """
    from datasets import Features, List, Value

    text = Value("string")
    columns = {
        SENTENCE: text,
        SKILL: text,
        SKILL_URI: text,
        SKILLS: List(text),
        STYLE: text,
        FAMILY: text,
        FOLD: Value("int8"),
    }
    return Features(columns | ({MODEL: text} if with_model else {}))


def skills_features() -> Features:
    """Columns of the config `skills`: the label space, in the order in which ties are broken."""
    from datasets import Features, List, Value

    text = Value("string")
    return Features({URI: text, LABEL: text, ALTERNATIVE_LABELS: List(text), TYPE: text})


def fold_of(skill_uri: str) -> int:
    """Fold 0-9 of a skill, by the hash of its URI: the same in every version and on every machine."""
    return int(hashlib.sha256(skill_uri.encode("utf-8")).hexdigest(), 16) % FOLDS


class EscoSource(Strict):
    """Which taxonomy the skills come from."""

    version: str
    language: str
    skills: int = Field(ge=0)
    occupations: int = Field(ge=0)
    file_sha256: dict[str, str]
    # What was repaired or left out while reading, such as labels with outer whitespace.
    notes: dict[str, int] = Field(default_factory=dict)

    @property
    def is_esco(self) -> bool:
        """Whether the skills are ESCO's. Another taxonomy is a single CSV file, and its version that file's name."""
        return [name.lower() for name in self.file_sha256] != [f"{self.version}.csv".lower()]

    @property
    def name(self) -> str:
        """What people call it: ESCO 1.1.0 (en), or the name of another taxonomy's file."""
        return f"{'ESCO ' if self.is_esco else ''}{self.version} ({self.language})"

    @property
    def described(self) -> str:
        """Its name, and the hashes of the files where it is not one of ESCO's official releases.

        Those never change; any other taxonomy may under the same name.
        """
        if (self.is_esco and _OFFICIAL.fullmatch(self.version)) or not self.file_sha256:
            return self.name
        return f"{self.name}, {' '.join(sorted(digest[:12] for digest in self.file_sha256.values()))}"


class PromptText(Strict):
    """One prompt family as it was sent, with `{placeholders}`."""

    family: str
    version: str
    system: str
    user: str


class LanguageModel(Strict):
    """The LLM and how it was sampled. The base URL is kept without credentials and query.

    `json_schema` says that replies were asked for as JSON, `extra_body` is the JSON of further fields of a request,
    `provider` what stood for the base URL in the journal's keys. What was left to the server is None.
    """

    model: str
    base_url: str
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    json_schema: bool = False
    extra_body: str = ""
    provider: str = ""


class FiltersUsed(Strict):
    """What the filters were given: the encoder of the round trip, hashes of the benchmarks; or that they were off.

    `round_trip_chosen_on` are the files whose labels chose the round trip's bound: the rank that `round_trip_recall` of
    them reach. It is empty where the bound was given. With `round_trip_at_least` a nearer bound was given, and theirs
    holds for the nearest sentences of skills that have fewer than so many within it.
    """

    round_trip_encoder: str = ""
    round_trip_weights_sha256: str = ""
    round_trip_chosen_on: list[str] = Field(default_factory=list)
    round_trip_recall: float | None = None
    round_trip_at_least: int = 0
    benchmarks_sha256: dict[str, str] = Field(default_factory=dict)
    unfiltered: bool = False


class Outcomes(Strict):
    """What became of every skill asked for; accepted + rejected + failed = requested."""

    requested: int
    accepted: int
    rejected: dict[str, int]
    failed: dict[str, int]


class TokenUse(Strict):
    """Tokens, and their price where one was given.

    They are the server's counts, and the builder's estimate of replies that came without: nothing here says which.
    """

    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None


class DatasetFile(Strict):
    """One Parquet file of the folder."""

    path: str
    config: Literal["pairs", "skills"]
    split: str
    rows: int = Field(ge=0)
    bytes: int = Field(ge=0)
    sha256: str


class DatasetPart(Strict):
    """One of the datasets that a merged one was made of: what its own manifest says.

    `data_sha256` are the hashes of its data files by path, `sentences_kept` how many of its sentences are in the merged
    one.
    """

    name: str
    version: str
    code_version: str
    seed: int
    language_model: LanguageModel
    sentences_per_skill: int
    families: dict[str, int]
    filters: FiltersUsed
    round_trip_k: int | None
    round_trip_far: int | None
    at_least: int
    asked_again: list[int]
    skills: Outcomes
    sentences_written: int
    sentences_accepted: int
    sentences_kept: int
    sentences_rejected: dict[str, int]
    replies: dict[str, int]
    tokens: TokenUse
    data_sha256: dict[str, str]


class DatasetManifest(Record):
    """Everything needed to know what a dataset folder holds and to make it again."""

    FILE_NAME: ClassVar[str] = "manifest.json"
    SCHEMA_VERSION: ClassVar[int] = 1

    name: str
    version: str
    created_at: str
    code_version: str
    seed: int
    esco: EscoSource
    prompts: list[PromptText]
    language_model: LanguageModel
    sentences_per_skill: int
    # Lines asked for per skill, by prompt family; where it is empty, `sentences_per_skill` of the only one.
    families: dict[str, int] = Field(default_factory=dict)
    filters: FiltersUsed = Field(default_factory=FiltersUsed)
    skills: Outcomes
    sentences_written: int
    sentences_accepted: int
    sentences_rejected: dict[str, int]
    replies: dict[str, int]
    tokens: TokenUse
    quality: dict[str, float | None]
    files: list[DatasetFile]
    # Skills with fewer sentences than `at_least` were asked about again: how many in each round.
    at_least: int = 0
    asked_again: list[int] = Field(default_factory=list)
    # A merged dataset's bounds on the sentences a skill takes from a part other than the first: how many, and among how
    # many nearest names the skill must be (of n skills, all among n - 1 more); None for no bound.
    at_most: int | None = None
    nearest: int | None = None
    # Counts by value, such as sentences by style, and examples of what the filters rejected.
    histograms: dict[str, dict[str, int]] = Field(default_factory=dict)
    rejected_examples: dict[str, list[str]] = Field(default_factory=dict)
    # The LLM that judged the sample behind quality's judged_* figures: its name here, and the one it was asked by.
    judge: str = ""
    judge_model: str = ""
    # What changed since the version before, where the build was told which one that is.
    changes: list[str] = Field(default_factory=list)
    # The datasets that this one merges; none where one build made it. What differs between them stands there alone.
    parts: list[DatasetPart] = Field(default_factory=list)

    @property
    def models(self) -> list[str]:
        """The LLMs that wrote, each once."""
        return list(dict.fromkeys(part.language_model.model for part in self.parts)) or [self.language_model.model]

    @property
    def data_sha256(self) -> dict[str, str]:
        """Hashes of the data files by path."""
        return {file.path: file.sha256 for file in self.files}

    @property
    def skills_with_rows(self) -> int:
        """Skills of the taxonomy that have a row: co-mentions give some to skills that were not asked for."""
        coverage = self.quality.get("coverage")
        return self.skills.accepted if coverage is None else round(coverage * self.esco.skills)
