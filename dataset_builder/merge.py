"""Several dataset folders over one label space -> one folder whose rows say which LLM wrote them.

    python -m dataset_builder.merge artifacts/dataset/claude/1.0.0 dataset_builder/releases/v2.0.0 \
        --version 3.0.0 --out artifacts/dataset/3.0.0

Of two sentences that are alike, that of the folder named first is kept. The folders' own filters have run; repeats and
the share of sentences that repeat the label are looked at again, over all of them. With --at-most N, a folder adds to a
skill only what is missing to N after the folders named before it: the sentences in which the --round-trip-encoder finds
the skill best, or without one the first; with --round-trip-k K only those in which the skill is among the K nearest
names.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dataset_builder import schema
from dataset_builder.contract import StageError, code_version, run_command
from dataset_builder.dataset_folder import read_sentences, write_tables
from dataset_builder.enough import Limit
from dataset_builder.esco import Skill
from dataset_builder.filters import EXAMPLES, Report, cap_leakage, drop_duplicates
from dataset_builder.near_duplicates import drop_near_duplicates
from dataset_builder.quality import histograms, measure
from dataset_builder.round_trip import encoder_used, load_encoder
from dataset_builder.schema import DatasetManifest, DatasetPart
from dataset_builder.sentences import Sentence
from dataset_builder.versions import check_number
from dataset_builder.whole_folder import Place, write_whole

NO_ROW = "no sentence in any part"


@dataclass(frozen=True)
class Parts:
    """The folders to merge: their manifests, the sentences of each, and their common label space."""

    manifests: tuple[DatasetManifest, ...]
    sentences: tuple[list[Sentence], ...]
    label_space: tuple[Skill, ...]


def read_parts(folders: Sequence[str | Path]) -> Parts:
    """Read the folders.

    Raises:
        StageError: fewer than two; one cannot be read, is a merged or an unfiltered one; or label spaces differ.
    """
    if len(folders) < 2:
        raise StageError(f"{len(folders)} folder to merge", "Name at least two")
    manifests = tuple(DatasetManifest.load(folder) for folder in folders)
    for folder, manifest in zip(folders, manifests, strict=True):
        if manifest.parts:
            raise StageError(f"{folder} is merged already", "Name the folders that it was made of")
        # In it different skills may have the same text, which reads back as one sentence for all of them.
        if manifest.filters.unfiltered:
            raise StageError(f"{folder} was built with --unfiltered", "Merge datasets that were filtered")
    read = [
        read_sentences(folder, manifest.language_model.model)
        for folder, manifest in zip(folders, manifests, strict=True)
    ]
    first = read[0][1]
    for folder, manifest, (_, label_space) in zip(folders, manifests, read, strict=True):
        if label_space != first or manifest.esco.described != manifests[0].esco.described:
            raise StageError(
                f"{folder} is over {manifest.esco.described}, and {folders[0]} over {manifests[0].esco.described}",
                "Merge datasets over the same skills",
            )
    return Parts(manifests, tuple(sentences for sentences, _ in read), first)


def merge(
    folders: Sequence[str | Path], place: Place, name: str | None = None, limit: Limit | None = None
) -> tuple[DatasetManifest, bool]:
    """Write the merged folder.

    Args:
        folders: dataset folders, the one whose sentences win first.
        place: where the version goes.
        name: of the dataset; that of the last folder when None.
        limit: how many sentences a skill; all when None.

    Returns:
        The manifest, and whether anything was written (False when the same content is there already).

    Raises:
        StageError: see `read_parts` and `write_whole`.
    """
    place.manifest()  # an error before the work, where there will be one
    parts = read_parts(folders)
    report = Report()
    every = [sentence for sentences in parts.sentences for sentence in sentences]
    kept = drop_near_duplicates(drop_duplicates(every, report), report)
    if limit:
        left = {id(sentence) for sentence in kept}
        of_parts = [[sentence for sentence in part if id(sentence) in left] for part in parts.sentences]
        kept = [sentence for part in limit.apply(of_parts, parts.label_space, report) for sentence in part]
    kept = cap_leakage(kept, report)

    def fill(folder: Path) -> DatasetManifest:
        files = write_tables(folder, kept, parts.label_space)
        manifest = _manifest(parts, kept, report, files, place.version, name or parts.manifests[-1].name)
        if limit is None:
            return manifest
        encoder, weights_sha256 = encoder_used(limit.encoder_name)
        of_encoder = {"round_trip_encoder": encoder, "round_trip_weights_sha256": weights_sha256}
        filters = manifest.filters.model_copy(update=of_encoder)
        chosen = {"at_most": limit.at_most, "nearest": limit.nearest, "filters": filters}
        return manifest.model_copy(update=chosen)

    return write_whole(place, fill)


def _manifest(
    parts: Parts,
    kept: Sequence[Sentence],
    report: Report,
    files: list[schema.DatasetFile],
    version: str,
    name: str,
) -> DatasetManifest:
    first = parts.manifests[0]
    # Two folders may hold the same text, of which the second one's was dropped.
    left = {id(sentence) for sentence in kept}
    of_parts = [
        part_of(manifest, sum(id(sentence) in left for sentence in sentences))
        for manifest, sentences in zip(parts.manifests, parts.sentences, strict=True)
    ]
    return DatasetManifest(
        schema_version=DatasetManifest.SCHEMA_VERSION,
        name=name,
        version=version,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        code_version=code_version(),
        seed=first.seed,
        esco=first.esco,
        prompts=list({(one.family, one.version): one for part in parts.manifests for one in part.prompts}.values()),
        language_model=schema.LanguageModel(
            model=" and ".join(dict.fromkeys(part.language_model.model for part in of_parts)),
            base_url="",
            temperature=None,
            top_p=None,
            max_tokens=None,
        ),
        sentences_per_skill=sum(part.sentences_per_skill for part in of_parts),
        filters=schema.FiltersUsed(benchmarks_sha256=_in_all([part.filters.benchmarks_sha256 for part in of_parts])),
        skills=_outcomes(of_parts, kept),
        sentences_written=sum(part.sentences_written for part in of_parts),
        sentences_accepted=len(kept),
        sentences_rejected=_sum([*(part.sentences_rejected for part in of_parts), report.rejected]),
        replies=_sum([part.replies for part in of_parts]),
        tokens=_tokens([part.tokens for part in of_parts]),
        quality=measure(kept, len(parts.label_space)),
        files=files,
        histograms={**histograms(kept), "model": dict(sorted(Counter(one.model for one in kept).items()))},
        rejected_examples=_examples([one.rejected_examples for one in parts.manifests], report.examples),
        parts=of_parts,
    )


def part_of(manifest: DatasetManifest, kept: int) -> DatasetPart:
    """What a merged manifest says of one of its parts, of which it keeps so many sentences."""
    near, far = (manifest.quality.get(name) for name in ("round_trip_k", "round_trip_far"))
    return DatasetPart(
        name=manifest.name,
        version=manifest.version,
        code_version=manifest.code_version,
        seed=manifest.seed,
        language_model=manifest.language_model,
        sentences_per_skill=manifest.sentences_per_skill,
        families=manifest.families,
        filters=manifest.filters,
        round_trip_k=None if near is None else round(near),
        round_trip_far=None if far is None else round(far),
        at_least=manifest.at_least,
        asked_again=manifest.asked_again,
        skills=manifest.skills,
        sentences_written=manifest.sentences_written,
        sentences_accepted=manifest.sentences_accepted,
        sentences_kept=kept,
        sentences_rejected=manifest.sentences_rejected,
        replies=manifest.replies,
        tokens=manifest.tokens,
        data_sha256=manifest.data_sha256,
    )


def _outcomes(parts: Sequence[DatasetPart], kept: Sequence[Sentence]) -> schema.Outcomes:
    """Of the skills that any part asked for; the parts do not name them, so as many as the part that asked for most."""
    accepted = len({skill.uri for sentence in kept for skill in sentence.skills})
    requested = max(accepted, *(part.skills.requested for part in parts))
    rejected = {NO_ROW: requested - accepted} if requested > accepted else {}
    return schema.Outcomes(requested=requested, accepted=accepted, rejected=rejected, failed={})


def _tokens(parts: Sequence[schema.TokenUse]) -> schema.TokenUse:
    """Of all parts; their price where every part has one."""
    prices = [part.cost_usd for part in parts if part.cost_usd is not None]
    return schema.TokenUse(
        requests=sum(part.requests for part in parts),
        prompt_tokens=sum(part.prompt_tokens for part in parts),
        completion_tokens=sum(part.completion_tokens for part in parts),
        cost_usd=sum(prices) if len(prices) == len(parts) else None,
    )


def _sum(counts: Sequence[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(sorted(total.items()))


def _in_all(hashes: Sequence[dict[str, str]]) -> dict[str, str]:
    """The files that every part names with the same hash."""
    return {name: digest for name, digest in hashes[0].items() if all(one.get(name) == digest for one in hashes)}


def _examples(of_parts: Sequence[dict[str, list[str]]], of_merge: dict[str, list[str]]) -> dict[str, list[str]]:
    """Examples of rejected sentences by reason, the first few found."""
    found: dict[str, list[str]] = {}
    for examples in (*of_parts, of_merge):
        for reason, texts in examples.items():
            found[reason] = [*found.get(reason, ()), *texts][:EXAMPLES]
    return dict(sorted(found.items()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m dataset_builder.merge",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("datasets", nargs="+", metavar="DIR", help="dataset folders; of repeats the first one's stays")
    parser.add_argument("--version", required=True, metavar="X.Y.Z", help="the merged dataset's version")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write; one that exists stays as it is")
    parser.add_argument("--previous", metavar="DIR", help="the version before: refuse a number that hides changes")
    parser.add_argument("--name", help="the merged dataset's name (default: that of the last one)")
    parser.add_argument("--at-most", type=int, metavar="N", help="sentences a skill (default: all)")
    encoder_help = "with --at-most: later folders add the sentences in which it finds the skill best"
    parser.add_argument("--round-trip-encoder", metavar="DIR_OR_HUB_ID", help=encoder_help)
    nearest_help = "with it: later folders add only sentences whose skill it ranks among N names (default: any)"
    parser.add_argument("--round-trip-k", type=int, metavar="N", help=nearest_help)
    options = parser.parse_args(arguments)
    check_number(options.version)
    out = Path(options.out)
    out = out if out.name not in ("", "..") else out.resolve()  # it is written beside, under its name
    place = Place(out, options.version, options.previous)
    manifest, written = merge(options.datasets, place, options.name, _limit(options))
    pairs = sum(file.rows for file in manifest.files if file.config == "pairs")
    print(f"{pairs:,} pairs for {manifest.skills_with_rows:,} of {manifest.esco.skills:,} skills", end=" ")
    print(f"{'written to' if written else 'unchanged in'} {place.out}")
    for part in manifest.parts:
        model = part.language_model.model
        print(f"  {model}: {part.sentences_kept:,} of {part.sentences_accepted:,} sentences of version {part.version}")


def _limit(options: argparse.Namespace) -> Limit | None:
    if options.at_most is None:
        if options.round_trip_encoder or options.round_trip_k:
            flags = "--round-trip-encoder and --round-trip-k"
            raise StageError(f"{flags} choose sentences only with --at-most", "Give --at-most N too")
        return None
    if options.at_most < 1:
        raise StageError(f"--at-most must be at least 1, got {options.at_most}")
    name, nearest = options.round_trip_encoder, options.round_trip_k
    if nearest is not None and nearest < 1:
        raise StageError(f"--round-trip-k must be at least 1, got {nearest}")
    if nearest is not None and not name:
        raise StageError("--round-trip-k is a rank by an encoder", "Give --round-trip-encoder DIR_OR_HUB_ID too")
    return Limit(options.at_most, load_encoder(name), name, nearest) if name else Limit(options.at_most)


if __name__ == "__main__":
    sys.exit(run_command(main))
