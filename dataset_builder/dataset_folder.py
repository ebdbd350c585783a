"""Accepted sentences + release -> Parquet files of a dataset folder, the same bytes for the same rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builder import schema
from dataset_builder.contract import sha256_of_file
from dataset_builder.esco import EscoRelease
from dataset_builder.seeded import stable_number
from dataset_builder.sentences import Sentence

VALIDATION_SHARE = 0.02


def pair_rows(sentences: Iterable[Sentence]) -> list[dict[str, object]]:
    """One row a (sentence, skill): a sentence with three skills gives three rows, each with its skill first."""
    rows: list[dict[str, object]] = []
    for sentence in sentences:
        for skill in sentence.skills:
            others = [other.label for other in sentence.skills if other is not skill]
            rows.append(
                {
                    schema.SENTENCE: sentence.text,
                    schema.SKILL: skill.label,
                    schema.SKILL_URI: skill.uri,
                    schema.SKILLS: [skill.label, *others],
                    schema.STYLE: sentence.style,
                    schema.FAMILY: sentence.family,
                    schema.FOLD: schema.fold_of(skill.uri),
                }
            )
    return rows


def validation_sentences(sentences: Iterable[Sentence]) -> set[str]:
    """Texts of the validation split, chosen by their hash: all rows of a sentence go together.

    At least one, for libraries do not open a split without rows.
    """
    texts = sorted({sentence.text for sentence in sentences}, key=stable_number)
    chosen = {text for text in texts if stable_number(text) % 10_000 < VALIDATION_SHARE * 10_000}
    return chosen or set(texts[:1])


def write_tables(folder: Path, sentences: Sequence[Sentence], release: EscoRelease) -> list[schema.DatasetFile]:
    """Write pairs and skills as zstd Parquet into `folder` and describe the files."""
    rows = sorted(pair_rows(sentences), key=lambda row: (row[schema.SKILL_URI], row[schema.SENTENCE]))
    validation = validation_sentences(sentences)
    files = []
    for split, path in schema.PAIRS_FILES.items():
        wanted = split == "validation"
        chosen = [row for row in rows if (row[schema.SENTENCE] in validation) == wanted]
        files.append(_write(folder, path, "pairs", split, chosen, schema.pairs_features().arrow_schema))
    skills: list[dict[str, object]] = [
        {
            schema.URI: skill.uri,
            schema.LABEL: skill.label,
            schema.ALTERNATIVE_LABELS: list(skill.alternative_labels),
            schema.TYPE: skill.skill_type,
        }
        for skill in release.skills
    ]
    files.append(_write(folder, schema.SKILLS_FILE, "skills", "train", skills, schema.skills_features().arrow_schema))
    return files


def _write(
    folder: Path,
    path: str,
    config: Literal["pairs", "skills"],
    split: str,
    rows: list[dict[str, object]],
    columns: pa.Schema,
) -> schema.DatasetFile:
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=columns), target, compression="zstd", compression_level=19)
    return schema.DatasetFile(
        path=path,
        config=config,
        split=split,
        rows=len(rows),
        bytes=target.stat().st_size,
        sha256=sha256_of_file(target),
    )
