"""Two dataset folders -> what changed between them: rows, skills, coverage, leakage, rejects.

python -m dataset_builder.diff dataset_builder/releases/v1.0.0 artifacts/dataset/1.1.0
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dataset_builder import schema
from dataset_builder.contract import run_command
from dataset_builder.schema import DatasetManifest
from dataset_builder.versions import columns_of, needed_step, read_columns

SHOWN = 5


def compare(old: str | Path, new: str | Path) -> str:
    """The differences as a Markdown text.

    Raises:
        StageError: a folder has no readable manifest or data file.
    """
    before, after = DatasetManifest.load(old), DatasetManifest.load(new)
    step = needed_step(before, after, columns_of(old), columns_of(new))
    rows = [
        ("version", before.version, after.version),
        ("taxonomy", before.esco.described, after.esco.described),
        ("model", " and ".join(before.models), " and ".join(after.models)),
        ("prompts", _prompts(before), _prompts(after)),
        ("pairs", f"{_pairs(before):,}", f"{_pairs(after):,}"),
        ("skills with a sentence", f"{before.skills_with_rows:,}", f"{after.skills_with_rows:,}"),
        *(
            (name.replace("_", " "), _figure(before.quality.get(name)), _figure(after.quality.get(name)))
            for name in sorted({*before.quality, *after.quality})
        ),
        *(
            (f"rejected: {reason}", *(f"{one.sentences_rejected.get(reason, 0):,}" for one in (before, after)))
            for reason in sorted({*before.sentences_rejected, *after.sentences_rejected})
        ),
    ]
    lines = ["| | old | new |", "|---|---|---|"]
    lines += [f"| {name}{'' if one == two else ' *'} | {one} | {two} |" for name, one, two in rows]
    lines += ["", *_row_changes(Path(old), Path(new)), *_skill_changes(Path(old), Path(new))]
    reasons = f" ({'; '.join(step.reasons)})" if step.reasons else ""
    return "\n".join([*lines, f"step of the version: {step.step}{reasons}"])


def _row_changes(old: Path, new: Path) -> list[str]:
    before, after = _sentences(old), _sentences(new)
    return [
        f"rows only in the old one: {len(before - after):,}",
        f"rows only in the new one: {len(after - before):,}",
        f"rows in both: {len(before & after):,}",
    ]


def _skill_changes(old: Path, new: Path) -> list[str]:
    before, after = _labels(old), _labels(new)
    renamed = [uri for uri in before.keys() & after.keys() if before[uri] != after[uri]]
    lines = [
        f"skills of the label space gone: {len(before.keys() - after.keys()):,}",
        f"skills of the label space new: {len(after.keys() - before.keys()):,}",
        f"skills renamed: {len(renamed):,}",
    ]
    return lines + [f"  {before[uri]} -> {after[uri]}" for uri in sorted(renamed)[:SHOWN]]


def _sentences(folder: Path) -> set[tuple[str, str]]:
    columns = (schema.SENTENCE, schema.SKILL_URI)
    tables = [read_columns(folder / path, columns) for path in schema.PAIRS_FILES.values()]
    return {pair for table in tables for pair in zip(*(table[name].to_pylist() for name in columns), strict=True)}


def _labels(folder: Path) -> dict[str, str]:
    table = read_columns(folder / schema.SKILLS_FILE, (schema.URI, schema.LABEL))
    return dict(zip(table[schema.URI].to_pylist(), table[schema.LABEL].to_pylist(), strict=True))


def _pairs(manifest: DatasetManifest) -> int:
    return sum(file.rows for file in manifest.files if file.config == "pairs")


def _prompts(manifest: DatasetManifest) -> str:
    return ", ".join(dict.fromkeys(f"{one.family} {one.version.split(' ')[0]}" for one in manifest.prompts))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m dataset_builder.diff", description="What changed between versions")
    parser.add_argument("old", help="dataset folder")
    parser.add_argument("new", help="dataset folder")
    options = parser.parse_args(arguments)
    print(compare(options.old, options.new))


if __name__ == "__main__":
    sys.exit(run_command(main))
