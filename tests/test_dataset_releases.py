"""The released datasets of this repository: whole, as their manifests and cards say, and as small as promised."""

import random
import re
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dataset_builder import schema
from dataset_builder.card import example_pairs
from dataset_builder.contract import sha256_of_file
from dataset_builder.dataset_card import render_card
from dataset_builder.prompt_families import BULLET_STYLES, FAMILIES
from dataset_builder.replies import parse_reply
from dataset_builder.schema import DatasetManifest

RELEASES = sorted((Path(__file__).resolve().parent.parent / "dataset_builder" / "releases").glob("v*"))
MAX_BYTES = 15_000_000
# Of the versions that are of all of ESCO.
REPLIES = {
    "v1.0.0": ["replies.parquet"],
    "v2.0.0": ["replies_v2.parquet"],
    "v3.0.0": ["replies_claude.parquet", "replies_v2.parquet"],
    "v3.1.0": ["replies_claude.parquet", "replies_v2.parquet"],
    "v4.0.0": ["replies_claude.parquet", "replies_full_sentence.parquet", "replies_v2.parquet"],
    "v4.1.0": [
        "replies_claude.parquet",
        "replies_claude_full_sentence.parquet",
        "replies_full_sentence.parquet",
        "replies_v2.parquet",
    ],
}
all_releases = pytest.mark.parametrize("folder", RELEASES, ids=lambda folder: folder.name)
of_all_esco = pytest.mark.parametrize(
    "folder", [one for one in RELEASES if one.name in REPLIES], ids=lambda one: one.name
)


def rows_of(folder: Path) -> list[dict]:
    """Rows of both splits."""
    return [row for path in schema.PAIRS_FILES.values() for row in pq.read_table(folder / path).to_pylist()]


@all_releases
def test_load_dataset_opens_both_configs_with_the_rows_that_the_manifest_counts(folder):
    from datasets import load_dataset

    manifest = DatasetManifest.load(folder)
    loaded = {config: load_dataset(str(folder), config) for config in ("pairs", "skills")}
    rows = {(config, split): data.num_rows for config, splits in loaded.items() for split, data in splits.items()}
    assert rows == {(file.config, file.split): file.rows for file in manifest.files}
    assert loaded["pairs"]["train"].features == schema.pairs_features(bool(manifest.parts))
    assert loaded["skills"]["train"].features == schema.skills_features()
    assert manifest.version == folder.name.removeprefix("v")


@all_releases
def test_files_are_those_of_the_manifest(folder):
    manifest = DatasetManifest.load(folder)
    assert {file.path for file in manifest.files} == {*schema.PAIRS_FILES.values(), schema.SKILLS_FILE}
    assert {str(path.relative_to(folder)) for path in folder.rglob("*.parquet")} == {f.path for f in manifest.files}
    for file in manifest.files:
        path = folder / file.path
        assert (sha256_of_file(path), path.stat().st_size) == (file.sha256, file.bytes)
        assert pq.read_metadata(path).num_rows == file.rows


@all_releases
def test_every_column_is_zstd_and_none_holds_descriptions(folder):
    for path in folder.rglob("*.parquet"):
        metadata = pq.read_metadata(path)
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        codecs = {group.column(number).compression for group in groups for number in range(metadata.num_columns)}
        assert codecs == {"ZSTD"}
        assert not [name for name in metadata.schema.to_arrow_schema().names if "description" in name.lower()]


@all_releases
def test_a_release_is_at_most_15_mb(folder):
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= MAX_BYTES


@all_releases
def test_the_manifests_sums_match(folder):
    """accepted + rejected + failed = requested; written = accepted + rejected sentences; a row is one pair."""
    manifest = DatasetManifest.load(folder)
    skills = manifest.skills
    assert skills.accepted + sum(skills.rejected.values()) + sum(skills.failed.values()) == skills.requested
    assert manifest.sentences_accepted + sum(manifest.sentences_rejected.values()) == manifest.sentences_written
    rows = rows_of(folder)
    assert len({row[schema.SENTENCE] for row in rows}) == manifest.sentences_accepted
    assert len({row[schema.SKILL_URI] for row in rows}) == skills.accepted


def test_the_card_of_the_newest_release_is_rendered_from_its_manifest():
    folder = max(RELEASES, key=lambda one: [int(part) for part in one.name.removeprefix("v").split(".")])
    card = (folder / "README.md").read_text(encoding="utf-8")
    pictures = {caption: path for caption, path in re.findall(r"!\[(.+?)\]\((.+?)\)", card)}
    assert set(pictures.values()) == {f"pictures/{path.name}" for path in (folder / "pictures").iterdir()}
    assert card == render_card(DatasetManifest.load(folder), pictures, example_pairs(folder))


@of_all_esco
def test_nearly_every_skill_of_esco_has_two_sentences(folder):
    """Recounted from the rows: at least 99.5% of the 13,891 skills are in two or more of them."""
    sentences = Counter(row[schema.SKILL_URI] for row in rows_of(folder))
    label_space = set(pq.read_table(folder / schema.SKILLS_FILE)[schema.URI].to_pylist())
    assert len(label_space) == 13_891
    assert set(sentences) <= label_space
    share = sum(count >= 2 for count in sentences.values()) / len(label_space)
    assert share >= 0.995
    assert share == pytest.approx(DatasetManifest.load(folder).quality["coverage_two"], abs=1e-9)


@of_all_esco
def test_few_sentences_repeat_their_label(folder):
    """Recounted from the rows with another search: the label between two ends of words, whatever its letters' case."""
    rows = rows_of(folder)
    leaking = sum(
        bool(re.search(rf"(?<!\w){re.escape(row[schema.SKILL])}(?!\w)", row[schema.SENTENCE], re.IGNORECASE))
        for row in rows
    )
    assert leaking / len(rows) < 0.10
    assert leaking / len(rows) == pytest.approx(DatasetManifest.load(folder).quality["leakage"], abs=0.005)


@of_all_esco
def test_every_sentence_is_a_line_of_a_reply_that_is_kept(folder):
    """For a random tenth of the skills: each row, apart from the builder's bullet, is what today's parser reads.

    The reply is one to a request about one of the row's skills, as the journal says it; a journal is keyed by whole
    requests, which nobody can make again without ESCO.
    """
    label_of = {row[schema.URI]: row[schema.LABEL] for row in pq.read_table(folder / schema.SKILLS_FILE).to_pylist()}
    skills = sorted(label_of)
    chosen = {uri.rsplit("/", 1)[-1]: uri for uri in random.Random(1).sample(skills, len(skills) // 10)}
    lines = defaultdict(set)
    kept = [reply for name in REPLIES[folder.name] for reply in pq.read_table(folder.parent / name).to_pylist()]
    for reply in kept:
        family, about = re.split("@[0-9.]+ ", reply["about"].rsplit(" ", 1)[0])
        if about in chosen:
            asked = len(FAMILIES[family].sheets[0].styles)
            lines[label_of[chosen[about]]].update(
                parse_reply(reply["text"], asked, reply["finish_reason"]).lines.values()
            )
    rows = [row for row in rows_of(folder) if set(row[schema.SKILLS]) <= set(lines)]
    assert len(rows) > 3 * len(chosen)
    texts = [(row[schema.SKILLS], row[schema.SENTENCE][2 * (row[schema.STYLE] in BULLET_STYLES) :]) for row in rows]
    assert [text for labels, text in texts if not any(text in lines[label] for label in labels)] == []
