"""Publish a dataset folder under the name in its manifest: one commit, read back, then its tag.

python -m dataset_builder.publish artifacts/dataset/1.0.0 --dry-run
python -m dataset_builder.publish artifacts/dataset/1.0.0
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dataset_builder.contract import StageError, run_command
from dataset_builder.hub import DATASET_REPO
from dataset_builder.hub_command import Artifact, add_publish_options, run_publish
from dataset_builder.hub_files import check_dataset
from dataset_builder.languages import name_of
from dataset_builder.schema import DatasetManifest, EscoSource


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command.

    Raises:
        StageError: see `run_publish`; or the name is that of the English dataset over ESCO, and this is another one.
    """
    parser = argparse.ArgumentParser(
        prog="python -m dataset_builder.publish", description="Publish a dataset folder on the Hub, tagged."
    )
    parser.add_argument("folder", type=Path, metavar="DATASET_DIR", help="folder that dataset_builder.build wrote")
    add_publish_options(parser, None)
    options = parser.parse_args(arguments)
    manifest = check_dataset(options.folder)
    other = other_than_usual(manifest.esco)
    if other and not options.name and manifest.name == DATASET_REPO:
        problem = f"{options.folder} was built without a name of its own, and its {other}"
        raise StageError(problem, "Name its repository with --name")
    options.usual_name = manifest.name
    marker = DatasetManifest.FILE_NAME
    run_publish(Artifact("dataset", options.folder, manifest.version, marker, identity=manifest.name), options)


def other_than_usual(source: EscoSource) -> str:
    """What sets a dataset apart from the one that the usual name stands for; "" where nothing does."""
    if not source.is_esco:
        return "skills are not ESCO's"
    return "" if source.language == "en" else f"language is {name_of(source.language)}"


if __name__ == "__main__":
    sys.exit(run_command(main))
