"""Publish the metric as it lies: one commit, read back, then its tag.

python -m eval.publish_metric --dry-run
python -m eval.publish_metric
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dataset_builder.contract import StageError, run_command
from dataset_builder.hub import METRIC_REPO, project_version
from dataset_builder.hub_command import Artifact, add_publish_options, run_publish

METRIC_FOLDER = Path(__file__).resolve().parent / "r_precision_at_k"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command.

    Raises:
        StageError: see `run_publish`; or a name is given that nobody could load the metric by.
    """
    parser = argparse.ArgumentParser(
        prog="python -m eval.publish_metric",
        description="Publish the metric as a Space, so that evaluate.load finds it by name.",
    )
    add_publish_options(parser, METRIC_REPO)
    options = parser.parse_args(arguments)
    # evaluate.load looks for NAME.py in the Space NAMESPACE/NAME.
    module = f"{METRIC_FOLDER.name}.py"
    if options.name not in (None, METRIC_REPO):
        problem = f"evaluate.load looks for {options.name}.py in a Space of that name, and the metric is {module}"
        raise StageError(problem, "Leave --name out; --namespace chooses whose Space it is")
    run_publish(Artifact("space", METRIC_FOLDER, project_version(), module, sdk="gradio"), options)


if __name__ == "__main__":
    sys.exit(run_command(main))
