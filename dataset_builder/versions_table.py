"""A folder of dataset versions -> a table that sets them side by side.

python -m dataset_builder.versions_table dataset_builder/releases --into dataset_builder/releases/README.md
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dataset_builder.contract import StageError, run_command
from dataset_builder.markdown_parts import put_part
from dataset_builder.schema import DatasetManifest

PART = "versions"
COLUMNS = (
    "version",
    "pairs",
    "skills",
    "sentences a skill",
    "words a sentence",
    "repeat the label",
    "judged right, 95% interval",
    "million tokens in / out",
    "sentences by",
)
# The dataset of Decorte et al. 2023 (arXiv 2307.10778), as its authors describe it; words and the share that
# repeats the label are of the sentences that they published.
PUBLISHED = ("*Decorte et al. 2023*", "138,260", "99.5%", "10", "15.7", "22.4%", "94%", "-", "GPT-3.5")


def read_versions(folder: str | Path) -> list[DatasetManifest]:
    """The manifests of a folder's versions, the newest first.

    Raises:
        StageError: there is none.
    """
    manifests = [DatasetManifest.load(file.parent) for file in Path(folder).glob(f"*/{DatasetManifest.FILE_NAME}")]
    if not manifests:
        raise StageError(f"{folder} holds no dataset version", "Name the folder that holds v1.0.0 and its like")
    return sorted(manifests, key=lambda one: [int(part) for part in one.version.split(".")], reverse=True)


def render(manifests: Sequence[DatasetManifest]) -> str:
    """A Markdown table with a row a version, from the manifests alone, and the published dataset below them."""
    rows = [COLUMNS, ("---", *["---:"] * (len(COLUMNS) - 2), "---"), *map(_row, manifests), PUBLISHED]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(manifest: DatasetManifest) -> tuple[str, ...]:
    pairs = sum(file.rows for file in manifest.files if file.config == "pairs")
    quality = manifest.quality
    written_by = manifest.histograms.get("model") or {manifest.language_model.model: manifest.sentences_accepted}
    return (
        f"[{manifest.version}](v{manifest.version})",
        f"{pairs:,}",
        f"{manifest.skills.accepted:,}",
        f"{quality['sentences_per_skill'] or 0:.1f}",
        f"{quality['mean_words'] or 0:.1f}",
        f"{quality['leakage'] or 0:.1%}",
        _judged(quality),
        f"{manifest.tokens.prompt_tokens / 1e6:.1f} / {manifest.tokens.completion_tokens / 1e6:.1f}",
        ", ".join(f"{model} ({count:,})" for model, count in sorted(written_by.items(), key=lambda one: -one[1])),
    )


def _judged(quality: dict[str, float | None]) -> str:
    share, low, high = (quality.get(f"judged_{name}") for name in ("correct", "low", "high"))
    if share is None or low is None or high is None:
        return "-"
    return f"{share:.1%} [{low:.1%}, {high:.1%}]"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, and put it into a page."""
    parser = argparse.ArgumentParser(prog="python -m dataset_builder.versions_table", allow_abbrev=False)
    parser.add_argument("folder", help="holds the versions, such as dataset_builder/releases")
    parser.add_argument("--into", metavar="MD", help=f"put the table between the markers of {PART!r}")
    given = parser.parse_args(arguments)
    table = render(read_versions(given.folder))
    if given.into:
        put_part(given.into, PART, table)
    print(table)


if __name__ == "__main__":
    sys.exit(run_command(main))
