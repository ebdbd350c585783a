"""A dataset folder -> its card and pictures written anew, with the verdicts of a judged sample where there are some.

python -m dataset_builder.card DATASET [--judge NAME]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dataset_builder.contract import run_command, write_atomically
from dataset_builder.dataset_card import render_card
from dataset_builder.judge import BY_HAND, BY_LLM, read_accuracy
from dataset_builder.pictures import draw_pictures
from dataset_builder.schema import DatasetManifest

# Where a sample's figures stand in the manifest's quality: judged_*, judged_by_hand_*.
PREFIXES = {BY_LLM: "judged", BY_HAND: "judged_by_hand"}


def with_verdicts(manifest: DatasetManifest, folder: str | Path) -> DatasetManifest:
    """The manifest with the accuracies of the judged samples in the folder.

    Raises:
        StageError: a sample is there and cannot be read; one for people that is not filled in is left out.
    """
    quality = dict(manifest.quality)
    for name, prefix in PREFIXES.items():
        path = Path(folder) / name
        if not path.exists() or (name == BY_HAND and _is_empty(path)):
            continue
        accuracy = read_accuracy(path)
        low, high = accuracy.interval
        quality |= {
            f"{prefix}_correct": accuracy.share,
            f"{prefix}_low": low,
            f"{prefix}_high": high,
            f"{prefix}_sample": float(accuracy.judged),
        }
    return manifest.model_copy(update={"quality": quality})


def write_card(folder: str | Path, manifest: DatasetManifest) -> None:
    """Write pictures and README.md into the folder."""
    write_atomically(Path(folder) / "README.md", render_card(manifest, draw_pictures(manifest, folder)))


def _is_empty(path: Path) -> bool:
    lines = path.read_text(encoding="utf-8-sig").strip().splitlines()
    return all(line.endswith(",") for line in lines[1:])


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m dataset_builder.card", description="Write a dataset's card anew")
    parser.add_argument("dataset", help="dataset folder")
    parser.add_argument("--judge", default="", metavar="NAME", help="name of the model that judged the sample")
    options = parser.parse_args(arguments)
    manifest = with_verdicts(DatasetManifest.load(options.dataset), options.dataset)
    if options.judge:
        manifest = manifest.model_copy(update={"judge": options.judge})
    write_card(options.dataset, manifest)
    manifest.save(options.dataset)


if __name__ == "__main__":
    sys.exit(run_command(main))
