"""What a build was asked to do -> an error before anything is paid for, where its folder could not be written."""

from __future__ import annotations

import os

from dataset_builder.benchmark_overlap import benchmark_sentences
from dataset_builder.build_options import BuildOptions
from dataset_builder.contract import StageError
from dataset_builder.esco import EscoRelease
from dataset_builder.prompt_families import FAMILIES
from dataset_builder.round_trip import validation_labels
from dataset_builder.schema import DatasetManifest
from dataset_builder.versions import check_more_rows, check_planned


def check_before_asking(options: BuildOptions, release: EscoRelease) -> None:
    """Refuse what the end would refuse, as far as it is known before the first request.

    Raises:
        StageError: there is no journal to build from; the folder to write holds something else, or cannot be made; the
            version before cannot be read, or the number hides a change since; the benchmark files cannot be read, or
            choose no bound of the round trip.
    """
    if options.journal_only and not options.dry_run and not options.journal.is_file():
        raise StageError(f"--journal-only: {options.journal} does not exist", "Name the file of replies with --journal")
    if options.place.manifest() is None:
        _check_place(options)
    if options.previous:
        families = {name: FAMILIES[name].version for name in options.families}
        check_planned(options.previous, options.version, release.source, families, options.keeping_replies)
    filters = options.filters
    if filters.benchmarks:
        benchmark_sentences(filters.benchmarks)
    if filters.encoder and filters.benchmarks and filters.chooses_rank and not filters.unfiltered:
        validation_labels(release, filters.benchmarks)


def refuse_what_would_be_lost(options: BuildOptions, missing: int, damaged: int) -> None:
    """Leave before requests are sent whose replies the folder could not take in.

    Args:
        options: what the build was asked to do.
        missing: requests of the plan that the journal has no reply to.
        damaged: replies that it holds damaged, which may be asked for again.

    Raises:
        StageError: the folder is written, or the version's number leaves no room for other rows; and the journal lacks
            replies that it never had.
    """
    if missing <= damaged:
        return
    if (options.out / DatasetManifest.FILE_NAME).is_file():
        raise StageError(
            f"{options.out} is written already, and {missing:,} requests of this plan have no reply",
            f"Give another --version and --out{options.keeping_replies}",
        )
    if options.previous:
        check_more_rows(options.previous, options.version, options.keeping_replies)


def _check_place(options: BuildOptions) -> None:
    """Refuse a folder that cannot be made: the nearest one above it that exists takes no files."""
    out = options.out.absolute()
    above = next(folder for folder in out.parents if folder.exists())
    if not (above.is_dir() and os.access(above, os.W_OK)):
        raise StageError(f"{out} cannot be made in {above}", f"Give another --out{options.keeping_replies}")
