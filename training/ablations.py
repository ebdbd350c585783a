"""The paper's questions -> many small trainings on a fixed budget -> results/ablations.json.

    python -m training.ablations --dataset DIR_OR_HUB_ID --base-model DIR_OR_HUB_ID --esco ESCO_ZIP RELATIONS_ZIP \
        --skillskape TRAIN_CSV --skillskape-dev DEV_CSV --sentences TXT --validation BENCHMARKS_DIR \
        --work artifacts/ablations --out results/ablations.json [--seeds 3] [--only QUESTION ...]

Every run is one training of about six minutes on two cores. A run that is done is not done again, so the command can be
stopped and started, and more seeds or questions can be added later. A row whose input was not given says so.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from dataset_builder.contract import (
    StageError,
    code_version,
    run_command,
    sha256_of_file,
    sha256_of_lines,
    write_atomically,
)
from training.ablation_grid import BUDGET, GRID, Row, recipe_of
from training.ablation_results import AblationResults, AblationRow, RowRun, Scores, by_question, compare
from training.ablation_sets import about_held_out, unseen_benchmark
from training.base_model import open_encoder
from training.equal_datasets import equalise
from training.prepare import Prepared, RunOptions
from training.run import prepare_quietly, run_prepared
from training.run_record import TrainingRecord
from training.validation import DEFAULT_METRIC, Benchmark, SkillRanking, ValidationSet, load_metric, read_validation

MOST_SEEDS = 20


@dataclass(frozen=True)
class Places:
    """Where the inputs are; None for what was not given."""

    dataset: str
    base_model: str
    esco: tuple[str, ...]
    validation: str
    skillskape: str | None
    skillskape_dev: str | None
    pseudo_labels: str | None
    sentences: str | None
    unfiltered: str | None
    other_llm: str | None
    metric: str | None
    work: Path

    @cached_property
    def scores_file(self) -> str:
        """Name of a run's scores: with other sentences to measure on, a model is measured anew."""
        files = [
            *sorted(Path(self.validation).glob("*_validation.csv")),
            *sorted(Path(self.validation).glob("*_test.csv")),
        ]
        files = files or [Path(self.validation)]
        files += [Path(self.skillskape_dev)] if self.skillskape_dev else []
        hashes = [sha256_of_file(file) if file.is_file() else str(file) for file in files]
        return f"scores-{sha256_of_lines([*hashes, str(self.metric)])[:8]}.json"

    def missing_for(self, row: Row) -> str | None:
        """The flag that a row needs and was not given."""
        for name in row.needs:
            if getattr(self, name) is None:
                return "--" + name.replace("_", "-")
        return None

    def dataset_of(self, row: Row) -> str:
        """Where the pairs of a row are."""
        if row.question == "language_model" and self.other_llm:
            return str(self._equal[row.dataset == "other_llm"])
        return getattr(self, row.dataset) or self.dataset

    @cached_property
    def _equal(self) -> tuple[Path, Path]:
        return equalise(self.dataset, self.other_llm or "", self.work)

    def folder_of(self, row: Row, seed: int) -> Path:
        """Where a run goes: rows that come to the same recipe and pairs share it."""
        recipe = {**recipe_of(row, seed).as_dict(), "name": "", "description": "", "seed": 0}
        inputs = [self.dataset_of(row), self.base_model]
        key = sha256_of_lines([json.dumps(recipe, sort_keys=True), *inputs])[:12]
        return self.work / f"{key}-seed{seed}"

    def options_for(self, row: Row, seed: int) -> RunOptions:
        """The training command's options for one run of a row."""
        return RunOptions(
            dataset=self.dataset_of(row),
            base_model=self.base_model,
            out=self.folder_of(row, seed),
            esco=self.esco,
            skillskape=self.skillskape,
            pseudo_labels=self.pseudo_labels,
            sentences=self.sentences,
            validation=self.validation,
            metric=self.metric,
            command=["(by training.ablations)"],
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is not done yet, then write all there is."""
    given = _parser().parse_args(arguments)
    places = Places(
        dataset=given.dataset,
        base_model=given.base_model,
        esco=tuple(given.esco),
        validation=given.validation,
        skillskape=given.skillskape,
        skillskape_dev=given.skillskape_dev,
        pseudo_labels=given.pseudo_labels,
        sentences=given.sentences,
        unfiltered=given.unfiltered,
        other_llm=given.other_llm,
        metric=given.metric,
        work=Path(given.work),
    )
    wanted = [row for row in GRID if not given.only or row.question in given.only]
    unknown = sorted(set(given.only or ()) - {row.question for row in GRID})
    if unknown:
        known = ", ".join(dict.fromkeys(row.question for row in GRID))
        raise StageError(f"no question {unknown[0]!r}", f"Questions: {known}")
    if given.dry_run:
        for row in wanted:
            missing = places.missing_for(row)
            print(f"{row.question:15} {row.name:28} {'needs ' + missing if missing else row.what}")
        return
    if not 1 <= given.seeds <= MOST_SEEDS:
        raise StageError(f"--seeds must be from 1 to {MOST_SEEDS}, got {given.seeds}")
    failed: dict[tuple[str, str, int], str] = {}
    for seed in range(1, given.seeds + 1):
        for row in wanted:
            try:
                _run_and_score(row, seed, places)
            except StageError as error:
                # One row that the inputs are not enough for must not cost the others.
                print(f"   not run: {error}", flush=True)
                failed[row.question, row.name, seed] = str(error)
    results = with_earlier(gather(places, failed, given.seeds), {row.question for row in wanted}, Path(given.out))
    results.save(given.out)
    print(f"{given.out}: {sum(bool(row.seeds) for row in results.rows)} of {len(results.rows)} rows measured")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.ablations", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--dataset", required=True, help="the pairs, as for training.train")
    parser.add_argument("--base-model", required=True, help="a small encoder, such as all-MiniLM-L6-v2")
    parser.add_argument("--esco", required=True, nargs="+", help="classification and relations")
    parser.add_argument("--validation", required=True, help="the benchmarks' folder; *_validation.csv is measured on")
    parser.add_argument("--skillskape", help="SkillSkape's training split")
    parser.add_argument("--skillskape-dev", help="SkillSkape's dev split, measured on where it is unseen")
    parser.add_argument("--pseudo-labels", help="real sentences labelled by a teacher (training.pseudo_labels)")
    parser.add_argument("--sentences", help="real sentences, one a line, for literal matches")
    parser.add_argument("--unfiltered", help="the same dataset without its filters")
    parser.add_argument("--other-llm", help="the same skills, written by another LLM")
    parser.add_argument("--metric", help="R-Precision@k; default eval/r_precision_at_k")
    parser.add_argument("--work", default="artifacts/ablations", help="where the models go")
    parser.add_argument("--out", default="results/ablations.json")
    parser.add_argument("--seeds", type=int, default=1, help="seeds 1 to N of each row")
    parser.add_argument("--only", nargs="+", metavar="QUESTION", help="these questions only")
    parser.add_argument("--dry-run", action="store_true", help="say what would be run")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _run_and_score(row: Row, seed: int, places: Places) -> None:
    """Train one row with one seed and measure it, unless that is done; an input that is missing is no error."""
    if places.missing_for(row):
        return
    options = places.options_for(row, seed)
    recipe = dataclasses.replace(recipe_of(row, seed), name="ablation", description=options.out.name)
    print(f"== {row.question} / {row.name}, seed {seed}: {row.what}", flush=True)
    prepared = prepare_quietly(recipe, options)
    run_prepared(prepared)
    scores_file = options.out / places.scores_file
    if not scores_file.is_file():
        scores = _score(row, options.out, prepared, places)
        write_atomically(scores_file, json.dumps(scores) + "\n")


def _score(row: Row, model: Path, prepared: Prepared, places: Places) -> Scores:
    """RP@5 of every sentence, by set of sentences."""
    benchmarks = list((prepared.validation or read_validation(places.validation)).benchmarks)
    if not prepared.recipe.needs("skillskape"):
        if places.skillskape_dev:
            benchmarks.append(unseen_benchmark(places.skillskape_dev, prepared.inputs.labels, prepared.recipe))
        every = [query for benchmark in benchmarks for query in benchmark.queries]
        benchmarks.append(Benchmark("held_out_skills", about_held_out(every, prepared.inputs.labels)))
    metric = load_metric(places.metric or DEFAULT_METRIC)
    share = prepared.recipe.stages[-1].loss.token_share
    sets = ValidationSet(tuple(benchmark for benchmark in benchmarks if benchmark.queries), (), 0)
    return SkillRanking(sets, prepared.inputs.labels, metric, token_share=share).each(open_encoder(model))


def gather(
    places: Places, failed: Mapping[tuple[str, str, int], str] | None = None, most_seeds: int = MOST_SEEDS
) -> AblationResults:
    """All rows with what was measured of them so far, each compared with its question's first row.

    `failed` says of (question, name, seed) why it could not be run; what it scored before may be of other inputs. So
    may be what lies there of seeds above `most_seeds`, which were not tried.
    """
    failed = failed or {}
    measured = {
        (row.question, row.name): {
            seed: scores
            for seed, scores in _scores_of(row, places, most_seeds).items()
            if (row.question, row.name, seed) not in failed
        }
        for row in GRID
    }
    reasons = {(question, name): reason for (question, name, _), reason in failed.items()}
    first = {row.question: row.name for row in reversed(GRID)}
    rows = []
    for row in GRID:
        scores = measured[row.question, row.name]
        records = [TrainingRecord.load(places.folder_of(row, seed)) for seed in sorted(scores)]
        baseline = measured[row.question, first[row.question]]
        rows.append(
            AblationRow(
                question=row.question,
                name=row.name,
                what=row.what,
                recipe=recipe_of(row, 1).as_dict(),
                seeds=sorted(scores),
                not_run=None if scores else reasons.get((row.question, row.name)) or _why_not_run(row, places),
                pairs=sum(source.pairs for record in records[:1] for source in record.sources),
                sets=compare(scores, baseline),
                runs=tuple(RowRun.of(record) for record in records),
            )
        )
    return AblationResults(
        schema_version=AblationResults.SCHEMA_VERSION,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        code_version=code_version(),
        budget_pairs=BUDGET,
        rows=rows,
    )


def _why_not_run(row: Row, places: Places) -> str:
    missing = places.missing_for(row)
    return f"needs {missing}" if missing else "not yet"


def with_earlier(results: AblationResults, wanted: Collection[str], out: Path) -> AblationResults:
    """The results, but what an earlier file has measured of questions that were not asked this time, wholly as there.

    So too where a question was asked and nothing of it was measured now. Whole questions, since the rows of one are
    compared with one another; whatever their recipes, and of questions that nobody asks any more as well.
    """
    if not out.is_file():
        return results
    now = by_question(results.rows)
    kept = {
        question: rows
        for question, rows in by_question(AblationResults.load(out).rows).items()
        if _some_measured(rows) and not (question in wanted and _some_measured(now.get(question, ())))
    }
    return results.model_copy(update={"rows": [row for rows in {**now, **kept}.values() for row in rows]})


def _some_measured(rows: Sequence[AblationRow]) -> bool:
    return any(row.seeds for row in rows)


def _scores_of(row: Row, places: Places, most_seeds: int) -> dict[int, Scores]:
    if places.missing_for(row):
        return {}
    try:
        folders = {seed: places.folder_of(row, seed) for seed in range(1, most_seeds + 1)}
    except StageError:  # a dataset that could not be read; why stands in `not_run`
        return {}
    files = {seed: folder / places.scores_file for seed, folder in folders.items()}
    return {seed: json.loads(file.read_text(encoding="utf-8")) for seed, file in files.items() if file.is_file()}


if __name__ == "__main__":
    sys.exit(run_command(main))
