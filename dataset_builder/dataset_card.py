"""DatasetManifest -> the dataset's README: YAML front matter for the Hub, then facts of the manifest only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from dataset_builder import schema
from dataset_builder.dataset_folder import VALIDATION_SHARE
from dataset_builder.languages import name_of
from dataset_builder.schema import (
    PAIRS_FILES,
    SKILLS_FILE,
    DatasetManifest,
    DatasetPart,
    EscoSource,
    pairs_features,
    skills_features,
)

if TYPE_CHECKING:
    from datasets import Features

TEMPLATE = "dataset_card.md.jinja"
_MODELS = "model: "  # how a change of the models begins among a manifest's changes
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
# What each column holds.
PAIRS_COLUMNS = {
    schema.SENTENCE: "a sentence or line as it could stand in a job ad",
    schema.SKILL: "preferred label of a skill that it was written for",
    schema.SKILL_URI: "that skill's URI in ESCO",
    schema.SKILLS: "labels of all skills that it was written for, `skill` first",
    schema.STYLE: "how it was asked for: a duty, a requirement, a bullet, ...",
    schema.FAMILY: "which family of prompts asked for it",
    schema.FOLD: "0-9, by the skill's URI alone, for experiments with skills held out",
    schema.MODEL: "which LLM wrote the sentence",
}
SKILLS_COLUMNS = {
    schema.URI: "the skill's URI in ESCO",
    schema.LABEL: "preferred label",
    schema.ALTERNATIVE_LABELS: "other names that ESCO gives",
    schema.TYPE: "skill/competence or knowledge, as ESCO says",
}
# The same where the skills are not ESCO's.
OTHER_COLUMNS = {
    schema.SKILL_URI: "that skill's id in the taxonomy",
    schema.FOLD: "0-9, by the skill's id alone, for experiments with skills held out",
    schema.URI: "the skill's id in the taxonomy",
    schema.ALTERNATIVE_LABELS: "other names that the taxonomy gives",
    schema.TYPE: "empty: such a taxonomy has no types",
}


def render_card(
    manifest: DatasetManifest,
    pictures: dict[str, str] | None = None,
    examples: Sequence[tuple[str, str, str]] = (),
) -> str:
    """The card's text. `pictures` maps a caption to a path inside the dataset folder; `examples` are (sentence, skill,
    style).
    """
    rows = {file.split: file.rows for file in manifest.files if file.config == "pairs"}
    other = {} if manifest.esco.is_esco else OTHER_COLUMNS
    return _template().render(
        manifest=manifest,
        pairs_files=PAIRS_FILES,
        skills_file=SKILLS_FILE,
        rows=rows,
        size_category=size_category(sum(rows.values())),
        pictures=pictures or {},
        examples=examples,
        dataset_info=dataset_info(manifest),
        words=taxonomy_words(manifest.esco),
        pairs_columns=_columns(pairs_features(bool(manifest.parts)), PAIRS_COLUMNS | other),
        skills_columns=_columns(skills_features(), SKILLS_COLUMNS | other),
        judged=judged_rows(manifest),
        parts_table=parts_table(manifest.parts),
        writers=" and ".join(f"`{model}`" for model in manifest.models),
        changes=changes_of(manifest),
        validation_share=VALIDATION_SHARE,
    )


def taxonomy_words(source: EscoSource) -> dict[str, str]:
    """What the card calls the skills and where they come from: not every taxonomy is ESCO, or the European Union's."""
    language = "" if source.language == "en" else f" in {name_of(source.language)}"
    if source.is_esco:
        return {
            "title": f"Synthetic ESCO skill sentences{language}",
            "skill": "ESCO skill",
            "skills": "ESCO skills",
            "source": source.name,
            "whose": "ESCO's",
            "licence": "cc-by-4.0",
        }
    return {
        "title": f"Synthetic skill sentences{language} ({source.version})",
        "skill": "skill",
        "skills": "these skills",
        "source": f"the taxonomy {_as_code(source.version)} ({source.language})",
        "whose": "The taxonomy's",
        "licence": "other",
    }


def judged_rows(manifest: DatasetManifest) -> list[tuple[str, str]]:
    """What a row of the card says, and where its figures stand in `quality`."""
    judge = f"`{manifest.judge}`" if manifest.judge else "an LLM"
    if manifest.judge_model not in ("", manifest.judge):
        judge += f" (served as `{manifest.judge_model}`)"
    # Older manifests name the judge alone.
    if manifest.judge_model and not re.search(r"\d", manifest.judge + manifest.judge_model):
        judge += ", whose version is not on record"
    wrote = {name.lower() for name in (manifest.judge, manifest.judge_model)} & {
        name.lower() for name in manifest.models
    }
    if wrote:
        judge += ", which wrote them" if len(manifest.models) == 1 else ", which wrote some of them"
    return [
        (f"judged right by {judge}", "judged"),
        ("called right by the same judge with the skill of another sentence", "judged_swapped"),
        ("judged right by people", "judged_by_hand"),
    ]


def changes_of(manifest: DatasetManifest) -> list[str]:
    """What changed, each model named once: older manifests name one as often as there are parts by it."""
    changes = []
    for change in manifest.changes:
        if change.startswith(_MODELS):
            sides = [dict.fromkeys(side.split(" and ")) for side in change.removeprefix(_MODELS).split(" -> ")]
            if all(side.keys() == sides[0].keys() for side in sides):
                continue
            change = _MODELS + " -> ".join(" and ".join(side) for side in sides)
        changes.append(change)
    return changes


def parts_table(parts: Sequence[DatasetPart]) -> list[list[str]]:
    """The table of a merged dataset's parts, a column each: rows of cells, the heading and its rule first.

    A part is known by its model, its prompt families and its files: its own number need not be that of a published
    version.
    """
    rows = {
        "": [", ".join([_as_code(part.language_model.model), *part.families]) for part in parts],
        "---": ["---"] * len(parts),
        "its `pairs/train.parquet`, SHA-256": [
            _as_code(part.data_sha256.get(PAIRS_FILES["train"], "")[:12]) for part in parts
        ],
        "lines asked for a skill": [
            ", ".join(f"{lines} {family}" for family, lines in part.families.items()) for part in parts
        ],
        "temperature, top-p": [
            f"{_or_default(part.language_model.temperature)}, {_or_default(part.language_model.top_p)}"
            for part in parts
        ],
        "seed": [str(part.seed) for part in parts],
        "code": [_as_code(part.code_version) for part in parts],
        "requests": [f"{part.tokens.requests:,}" for part in parts],
        "tokens read / written": [
            f"{part.tokens.prompt_tokens:,} / {part.tokens.completion_tokens:,}" for part in parts
        ],
        "sentences written": [f"{part.sentences_written:,}" for part in parts],
        "passed its filters": [f"{part.sentences_accepted:,}" for part in parts],
        "in this dataset": [f"{part.sentences_kept:,}" for part in parts],
        "skill found again (round trip)": [_round_trip(part) for part in parts],
    }
    return [[name, *cells] for name, cells in rows.items()]


def _round_trip(part: DatasetPart) -> str:
    """The bound of a part's round trip, in a few words."""
    if part.round_trip_k is None:
        return "not asked"
    bound = f"among {part.round_trip_k:,} names"
    if part.round_trip_far is None:
        return bound
    return f"{bound}; the nearest {part.filters.round_trip_at_least} of a skill among {part.round_trip_far:,}"


def _or_default(value: float | None) -> str:
    return "the server's default" if value is None else str(value)


def dataset_info(manifest: DatasetManifest) -> str:
    """The YAML of columns by config. Rows stand in the text: `datasets` takes them only with sizes in memory.

    The hashes in the description tell versions apart: the cache of `datasets` knows a folder by its name and this YAML
    alone, and would open another version's rows.
    """
    features = {"pairs": pairs_features(bool(manifest.parts)), "skills": skills_features()}
    hashes = {
        config: ", ".join(f"{file.split} {file.sha256[:16]}" for file in manifest.files if file.config == config)
        for config in features
    }
    infos = [
        {
            "config_name": config,
            "description": f"{manifest.name} {manifest.version}, SHA-256 of {hashes[config]}",
            "features": columns._to_yaml_list(),
            "download_size": sum(file.bytes for file in manifest.files if file.config == config),
        }
        for config, columns in features.items()
    ]
    return yaml.safe_dump({"dataset_info": infos}, sort_keys=False, width=1_000)


def _columns(features: Features, meanings: dict[str, str]) -> list[tuple[str, str, str]]:
    """Name, type and meaning of each column, in order."""
    return [(name, _type_name(features[name]), meanings[name]) for name in features]


def _type_name(feature: Any) -> str:
    return f"list of {feature.feature.dtype}" if hasattr(feature, "feature") else str(feature.dtype)


def size_category(rows: int) -> str:
    """The Hub's name for a dataset of so many rows."""
    return next((name for bound, name in _SIZES if rows < bound), "1M<n<10M")


def _as_code(text: str) -> str:
    """Text as it is within a cell of a table, whatever markup it holds; empty stays empty."""
    plain = " ".join(text.replace("`", "'").replace("|", "/").split())
    return f"`{plain}`" if plain else ""


def _as_yaml(text: str) -> str:
    """Text as a YAML scalar, quoted where YAML would read something else: `no` is a language, not false."""
    return yaml.safe_dump(text, allow_unicode=True, width=1_000).removesuffix("...\n").strip()


def _percent(value: float | None, digits: int = 1) -> str:
    return "not measured" if value is None else f"{100 * value:.{digits}f}%"


@lru_cache(maxsize=1)
def _template() -> Template:
    # The card is Markdown, not HTML: nothing is to be escaped.
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701
    environment.filters["percent"] = _percent
    environment.filters["as_code"] = _as_code
    environment.filters["as_yaml"] = _as_yaml
    environment.filters["or_default"] = _or_default
    environment.filters["thousands"] = lambda value: f"{value:,}"
    return environment.get_template(TEMPLATE)
