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
from dataset_builder.schema import DatasetManifest


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command.

    Raises:
        StageError: see `run_publish`; or the skills are not ESCO's and the name is that of the dataset over ESCO.
    """
    parser = argparse.ArgumentParser(
        prog="python -m dataset_builder.publish", description="Publish a dataset folder on the Hub, tagged."
    )
    parser.add_argument("folder", type=Path, metavar="DATASET_DIR", help="folder that dataset_builder.build wrote")
    add_publish_options(parser, None)
    options = parser.parse_args(arguments)
    manifest = check_dataset(options.folder)
    if not (options.name or manifest.esco.is_esco or manifest.name != DATASET_REPO):
        problem = f"{options.folder} was built without a name of its own, and its skills are not ESCO's"
        raise StageError(problem, "Name its repository with --name")
    options.usual_name, options.name = manifest.name, options.name or manifest.name
    run_publish(Artifact("dataset", options.folder, manifest.version, DatasetManifest.FILE_NAME), options)


if __name__ == "__main__":
    sys.exit(run_command(main))
