"""All sentences of a build -> the accepted ones: the fixed order of every filter.

Form first, then benchmark copies, the round trip, repeats, and last the share of sentences that repeat the label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dataset_builder.benchmark_overlap import benchmark_sentences, drop_benchmark_copies
from dataset_builder.esco import EscoRelease
from dataset_builder.filters import (
    Report,
    apply_checks,
    cap_leakage,
    check_language,
    check_length,
    check_markup,
    check_talk,
    drop_duplicates,
)
from dataset_builder.near_duplicates import drop_near_duplicates
from dataset_builder.round_trip import Bounds, Encoder, bound_on_validation, drop_lost, load_encoder, normalised
from dataset_builder.sentences import Sentence


@dataclass(frozen=True)
class FilterOptions:
    """Which filters run beside the fixed ones; None leaves one out.

    `benchmarks` is a folder of CSVs, `encoder` a model folder or Hub id, `round_trip_k` a rank; without that rank it
    is chosen on the validation CSVs. A skill with fewer than `round_trip_at_least` sentences within that rank keeps its
    nearest ones, up to that many, within the rank of the validation CSVs. `unfiltered` keeps everything but copies of
    benchmark sentences.
    """

    language: str = "en"
    benchmarks: str | None = None
    encoder: str | None = None
    round_trip_k: int | None = None
    round_trip_at_least: int = 0
    unfiltered: bool = False

    @property
    def chooses_rank(self) -> bool:
        """Whether the round trip needs a rank that is chosen on the validation CSVs."""
        return not self.round_trip_k or self.round_trip_at_least > 0


def run_filters(
    sentences: Sequence[Sentence],
    release: EscoRelease,
    options: FilterOptions,
    report: Report,
    encoder: Encoder | None = None,
) -> list[Sentence]:
    """Apply every filter; `encoder` takes the place of the one that the options name.

    Raises:
        StageError: the benchmark folder or the encoder cannot be read.
    """
    benchmark = benchmark_sentences(options.benchmarks) if options.benchmarks else None
    if options.unfiltered:
        return list(sentences) if benchmark is None else drop_benchmark_copies(sentences, benchmark, report)
    checks = [check_length, check_markup, check_talk, check_language(options.language)]
    kept = apply_checks(sentences, checks, report)
    if benchmark is not None:
        kept = drop_benchmark_copies(kept, benchmark, report)
    if encoder or options.encoder:
        encoder = encoder or load_encoder(str(options.encoder))
        names = normalised(encoder.encode(release.labels))
        far = 0
        if options.chooses_rank:
            far = bound_on_validation(encoder, release, options.benchmarks or "", names)
        bounds = Bounds(options.round_trip_k or far, far, options.round_trip_at_least)
        report.round_trip_k, report.round_trip_far = bounds.near, far if options.round_trip_at_least else None
        kept = drop_lost(kept, encoder, release, names, bounds, report)
    # Of two that are alike, the one that is right must be left: repeats come after the round trip.
    return cap_leakage(drop_near_duplicates(drop_duplicates(kept, report), report), report)
