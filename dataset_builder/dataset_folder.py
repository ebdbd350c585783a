"""Accepted sentences + label space -> Parquet files of a dataset folder, the same bytes for the same rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builder import schema
from dataset_builder.contract import StageError, sha256_of_file
from dataset_builder.esco import Skill
from dataset_builder.seeded import stable_number
from dataset_builder.sentences import Sentence
from dataset_builder.versions import read_columns

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
                    schema.MODEL: sentence.model,
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


def write_tables(folder: Path, sentences: Sequence[Sentence], label_space: Sequence[Skill]) -> list[schema.DatasetFile]:
    """Write pairs and skills as zstd Parquet into `folder` and describe the files.

    Pairs have the column `model` where the sentences say who wrote them.
    """
    columns = schema.pairs_features(any(sentence.model for sentence in sentences)).arrow_schema
    rows = sorted(pair_rows(sentences), key=lambda row: (row[schema.SKILL_URI], row[schema.SENTENCE]))
    validation = validation_sentences(sentences)
    files = []
    for split, path in schema.PAIRS_FILES.items():
        wanted = split == "validation"
        chosen = [row for row in rows if (row[schema.SENTENCE] in validation) == wanted]
        files.append(_write(folder, path, "pairs", split, chosen, columns))
    skills: list[dict[str, object]] = [
        {
            schema.URI: skill.uri,
            schema.LABEL: skill.label,
            schema.ALTERNATIVE_LABELS: list(skill.alternative_labels),
            schema.TYPE: skill.skill_type,
        }
        for skill in label_space
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


def read_sentences(folder: str | Path, model: str) -> tuple[list[Sentence], tuple[Skill, ...]]:
    """Read back what `write_tables` wrote: the sentences by URI of a skill and text, and the label space.

    A sentence's skills come in the order of their URIs, for the files do not say about which it was asked. Sentences
    of a folder without the column `model` get the given one.

    Raises:
        StageError: the folder's data files cannot be read, or hold a skill that its label space lacks.
    """
    label_space = [
        Skill(
            row[schema.URI], row[schema.LABEL], tuple(row[schema.ALTERNATIVE_LABELS]), skill_type=row[schema.TYPE] or ""
        )
        for row in read_columns(Path(folder) / schema.SKILLS_FILE).to_pylist()
    ]
    space = {skill.uri: skill for skill in label_space}
    by_text: dict[str, list[dict[str, Any]]] = {}
    pairs = [row for path in schema.PAIRS_FILES.values() for row in read_columns(Path(folder) / path).to_pylist()]
    for row in sorted(pairs, key=lambda row: (row[schema.SKILL_URI], row[schema.SENTENCE])):
        if row[schema.SKILL_URI] not in space:
            raise StageError(f"{folder}: {row[schema.SKILL_URI]} is not in {schema.SKILLS_FILE}")
        by_text.setdefault(row[schema.SENTENCE], []).append(row)
    sentences = [
        Sentence(
            text,
            tuple(space[row[schema.SKILL_URI]] for row in rows),
            rows[0][schema.STYLE],
            rows[0][schema.FAMILY],
            rows[0].get(schema.MODEL) or model,
        )
        for text, rows in by_text.items()
    ]
    return sentences, tuple(label_space)
