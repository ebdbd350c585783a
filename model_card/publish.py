"""Publish a model folder with its card and label index: one commit, read back, then its tag.

python -m model_card.publish artifacts/model --dry-run
python -m model_card.publish artifacts/model
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dataset_builder.contract import StageError, run_command
from dataset_builder.hub import MODEL_REPO, model_repo
from dataset_builder.hub_command import Artifact, add_publish_options, run_publish
from model_card.label_index import check_weights, open_label_index, weight_files
from model_card.prototype_facts import version_with
from model_card.render import TITLE
from training.run_record import TrainingRecord


def check_model(folder: Path) -> tuple[str, str]:
    """Name and version of a folder with a card of that version and a label index of its weights.

    Raises:
        StageError: no record, no card of ours, or an index for other weights.
    """
    record, index = TrainingRecord.load(folder), open_label_index(folder)
    version = version_with(index.prototypes, record.version)
    card = folder / "README.md"
    try:
        lines = card.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, UnicodeDecodeError):
        lines = []
    if f"# {TITLE} {version}" not in lines:
        raise StageError(f"{card} is not the card of version {version}", "Run `python -m model_card.build` first")
    check_weights(index, weight_files(folder))
    return record.name, version


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m model_card.publish", description="Publish a model folder on the Hub, tagged."
    )
    parser.add_argument("folder", type=Path, metavar="MODEL_DIR", help="folder that model_card.build completed")
    add_publish_options(parser, MODEL_REPO)
    options = parser.parse_args(arguments)
    name, version = check_model(options.folder)
    options.usual_name = model_repo(name)
    marker = TrainingRecord.FILE_NAME
    run_publish(Artifact("model", options.folder, version, marker, identity=name), options)


if __name__ == "__main__":
    sys.exit(run_command(main))
