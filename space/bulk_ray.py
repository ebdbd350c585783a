"""The same parts as bulk.py makes, made by Ray Data on the processes of a cluster that share the files' folder.

Each process reads its own ranges of rows and writes its own parts; a part that is there is not made again, so a run may
go on with any number of processes, or without Ray. A cluster that RAY_ADDRESS names, or that `ray start` began on this
machine, is used as it is; without one, Ray starts here for the run.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
from collections.abc import Iterator
from typing import Any

from bulk_output import PART_ROWS, Parts
from bulk_parts import PartWorker
from bulk_rows import AdSource, Row
from page_model import chosen_model
from skill_finder import SkillFinder
from skill_index import SkillFinderError


class PartReader:
    """Reads parts of an input; after one part the next costs no reading from the beginning."""

    def __init__(self, source: AdSource) -> None:
        self.source = source
        self._rows: Iterator[Row] = iter(())
        self._next: int | None = None

    def read(self, first: int, count: int) -> list[Row]:
        """Rows `first` to `first + count`, fewer at the end of the input."""
        ahead = -1 if self._next is None else first - self._next
        if ahead < 0 or (ahead and self.source.is_parquet):
            self._rows, ahead = self.source.rows(first), 0
        self._next = None  # an iterator that raised has no more rows
        rows = list(itertools.islice(self._rows, ahead, ahead + count))
        self._next = first + count
        return rows


class PartMaker:
    """A process of the pool: opens the model once, then makes the parts it is given."""

    def __init__(self, source: AdSource, parts: Parts, options: dict[str, Any]) -> None:
        from page_model import open_service

        self.reader, self.parts = PartReader(source), parts
        finder = open_service(options["model"], options["skills"], options["backend"]).finder
        model = options["model"] or "the model"
        same = finder.weights_sha256 == options["weights"]
        self.worker = PartWorker(finder, options["threshold"], options["top_k"], merge=not options["all"])
        self.problem = "" if same else f"a process of the cluster found other weights for {model}"

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Make the parts named in `batch`; says what was wrong with the input, "" where nothing was."""
        errors: list[str] = []
        if self.problem:
            return {"error": [self.problem for _ in batch["part"]]}
        for number in map(int, batch["part"]):
            first = number * PART_ROWS
            try:
                self.parts.save(number, self.worker.work(self.reader.read(first, PART_ROWS), first))
                errors.append("")
            except SkillFinderError as error:
                errors.append(str(error))
        return {"error": errors}


def run_on_ray(source: AdSource, parts: Parts, given: argparse.Namespace, finder: SkillFinder) -> int:
    """Make every part that is missing; returns the number of parts.

    Raises:
        SkillFinderError: ray is not installed, a cluster that does not answer or is too small, an input that breaks
            off, or a Hub dataset, whose rows cannot be reached by number.
    """
    try:
        import ray
    except ImportError:
        raise SkillFinderError("--engine ray needs Ray: pip install 'ray[data]'") from None
    rows = source.count() if source.files else None
    if rows is None:
        raise SkillFinderError("--engine ray reads files; download the dataset first, or use --engine local")
    count = math.ceil(rows / PART_ROWS)
    missing = [number for number in range(count) if not parts.is_done(number)]
    if not missing:
        return count
    if not ray.is_initialized():
        connect(ray, given.workers)
    cores = int(ray.cluster_resources().get("CPU", 0))
    if cores < given.workers:
        raise SkillFinderError(f"--workers {given.workers} is more than the {cores} CPU cores of the Ray cluster")
    options = {name: getattr(given, name) for name in ("skills", "threshold", "top_k", "all")}
    # A process of a cluster starts in another folder, without this one's variables, and maybe on another processor.
    options |= {"skills": _absolute(given.skills), "model": _absolute(chosen_model(given.model))}
    options |= {"backend": finder.backend, "weights": finder.weights_sha256}
    absolute = AdSource(_absolute(source.place), source.text_column, source.key_column, source.split)
    to_make = ray.data.from_items(
        [{"part": number} for number in missing], override_num_blocks=min(len(missing), 4 * given.workers)
    )
    made = to_make.map_batches(
        PartMaker,
        fn_constructor_args=(absolute, Parts(parts.out.resolve()), options),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=given.workers),
    ).materialize()
    for row in made.iter_rows():
        if row["error"]:
            raise SkillFinderError(row["error"])
    return count


def connect(ray: Any, workers: int) -> None:
    """Join the cluster that is there, or start one of `workers` cores here.

    Raises:
        SkillFinderError: the cluster that should be there does not answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    here = os.path.dirname(os.path.abspath(__file__))
    # Workers find these modules by their bare names, as on a Space.
    environment = {"env_vars": {"PYTHONPATH": os.pathsep.join([here, os.path.dirname(here)])}}
    try:
        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, runtime_env=environment)
    except ValueError as error:
        if "existing cluster" not in str(error):
            raise
        try:
            ray.init(log_to_driver=False, runtime_env=environment)
        except ConnectionError as refused:
            raise SkillFinderError(f"the Ray cluster does not answer ({refused})") from None


def _absolute(place: str) -> str:
    """A path from the root where there is such a file or folder; a Hub id, or nothing, as it is."""
    return os.path.abspath(place) if place and os.path.exists(place) else place
