"""An ESCO release -> skills.parquet of the label index: who the skills are, and the group that each stands in."""

from __future__ import annotations

from pathlib import Path

from dataset_builder.contract import write_atomically
from dataset_builder.esco import EscoRelease

SKILLS_FILE = "label_index/skills.parquet"


def top_group(uri: str, release: EscoRelease) -> str:
    """Label of the first skill group below the pillar (S1, K 06, ...) on a skill's first way up; "" when unknown.

    A concept may have several parents: at each step the first in file order that leads to a named group is taken.
    """
    return _group_above(uri, release, frozenset()) or ""


def _group_above(uri: str, release: EscoRelease, seen: frozenset[str]) -> str | None:
    for parent in release.broader.get(uri, ()):
        if parent in seen:
            continue
        if not release.broader.get(parent):
            if uri in release.group_labels:
                return release.group_labels[uri]
            continue
        found = _group_above(parent, release, seen | {uri})
        if found:
            return found
    return None


def write_skills(release: EscoRelease, path: Path) -> None:
    """Write who the skills are, one row each in label-space order, at once or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    skills = release.skills
    texts = pa.list_(pa.string())
    table = pa.table(
        {
            "uri": [skill.uri for skill in skills],
            "label": [skill.label for skill in skills],
            "alternative_labels": pa.array([list(skill.alternative_labels) for skill in skills], texts),
            "type": [skill.skill_type for skill in skills],
            "broader_uris": pa.array([list(release.broader.get(skill.uri, ())) for skill in skills], texts),
            "group": [top_group(skill.uri, release) for skill in skills],
        }
    )
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd")
    write_atomically(path, sink.getvalue().to_pybytes())
