"""The same parts as bulk.py makes, made by Ray Data on the processes of a cluster that share the files' folder.

Each process reads its own range of rows and writes its own part; a part that is there is not made again, so a run may
go on with any number of processes, or without Ray.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
from typing import Any

from bulk_output import PART_ROWS, Parts
from bulk_parts import PartWorker
from bulk_rows import AdSource
from skill_index import SkillFinderError


class PartMaker:
    """A process of the pool: opens the model once, then makes the parts it is given."""

    def __init__(self, source: AdSource, parts: Parts, options: dict[str, Any]) -> None:
        from app import open_service

        self.source, self.parts = source, parts
        finder = open_service(options["model"], options["skills"], options["backend"]).finder
        self.worker = PartWorker(finder, options["threshold"], options["top_k"])

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Make the parts named in `batch`."""
        for number in map(int, batch["part"]):
            first = number * PART_ROWS
            rows = list(itertools.islice(self.source.rows(first), PART_ROWS))
            self.parts.save(number, self.worker.work(rows, first))
        return {"part": batch["part"]}


def run_on_ray(source: AdSource, parts: Parts, given: argparse.Namespace) -> int:
    """Make every part that is missing; returns the number of parts.

    Raises:
        SkillFinderError: ray is not installed, or a Hub dataset, whose rows cannot be reached by number.
    """
    try:
        import ray
    except ImportError:
        raise SkillFinderError("--engine ray needs Ray: pip install 'ray[data]'") from None
    rows = source.count()
    if rows is None:
        raise SkillFinderError("--engine ray reads files; download the dataset first, or use --engine local")
    count = math.ceil(rows / PART_ROWS)
    missing = [number for number in range(count) if not parts.is_done(number)]
    if not missing:
        return count
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    here = os.path.dirname(os.path.abspath(__file__))
    if not ray.is_initialized():
        # Workers find these modules by their bare names, as on a Space.
        environment = {"env_vars": {"PYTHONPATH": os.pathsep.join([here, os.path.dirname(here)])}}
        ray.init(num_cpus=given.workers, include_dashboard=False, log_to_driver=False, runtime_env=environment)
    options = {name: getattr(given, name) for name in ("model", "skills", "backend", "threshold", "top_k")}
    absolute = AdSource(_absolute(source.place), source.text_column, source.key_column, source.split)
    made = ray.data.from_items(
        [{"part": number} for number in missing], override_num_blocks=min(len(missing), 4 * given.workers)
    )
    made.map_batches(
        PartMaker,
        fn_constructor_args=(absolute, Parts(parts.out.resolve()), options),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=given.workers),
    ).materialize()
    return count


def _absolute(place: str) -> str:
    return os.path.abspath(place)
