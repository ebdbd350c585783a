"""CardFacts -> the text of README.md. Pure: no file but the template, no clock, no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

import jinja2
import yaml

from dataset_builder.contract import StageError
from dataset_builder.hub import NAMESPACE, is_hub_id, model_repo, tag_of
from eval.results import BenchmarkResult, Estimate, EvalResults
from model_card.facts import REQUIRED_METRICS, CardFacts
from model_card.forms import forms_table, markdown_table
from model_card.front_matter import benchmark_name, dataset_id, front_matter, hub_base_model, metric_name
from model_card.prototype_facts import Fit, Prototypes
from model_card.snippet import usage_snippet
from training.run_record import TrainingRecord

TITLE = "ESCO skill bi-encoder"
_TEMPLATE = Path(__file__).with_name("card.md.jinja")
# Sources of pairs that are the dataset's own sentences.
WRITTEN = frozenset({"synthetic", "co_mentions"})
_MISSING = "-"


def render_card(facts: CardFacts, repo_id: str = "", licence: str = "apache-2.0") -> str:
    """The whole card: front matter with `model-index`, then Markdown. Metric values are times 100.

    Args:
        facts: checked facts.
        repo_id: the model's name on the Hub, used in its snippets; the usual one for its name where "".
        licence: Hub identifier of the weights' licence.

    Raises:
        StageError: a name that no repository on the Hub can have.
    """
    repo_id = repo_id or f"{NAMESPACE}/{model_repo(facts.record.name)}"
    if not is_hub_id(repo_id):
        raise StageError(f"{repo_id!r} is no name on the Hub", "Give --repo-id as NAMESPACE/NAME")
    environment = jinja2.Environment(  # noqa: S701 - Markdown, and every value is from our own records
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    values = {**_model_values(facts), **_result_values(facts), **_training_values(facts), **_machine_values(facts)}
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        values,
        front_matter=yaml.safe_dump(front_matter(facts, licence), sort_keys=False, allow_unicode=True).strip(),
        snippet=usage_snippet(repo_id, tag_of(facts.version), facts.onnx_only, facts.token_share),
        licence=licence,
    )


def _base_model_text(record: TrainingRecord) -> str:
    known, used = hub_base_model(record), record.base_model.id
    return f"`{used}`" if known in ("", used) else f"`{known}` (as the recipe names it; taken from the folder `{used}`)"


def _without_folders(command: str) -> str:
    """The command with every absolute path cut to its last name: the folders are those of someone's machine."""
    return " ".join(PurePath(word).name if word.startswith("/") else word for word in command.split(" "))


def _model_values(facts: CardFacts) -> dict[str, Any]:
    calibration = facts.calibration
    return {
        "title": TITLE,
        "version": facts.version,
        "weights_version": "" if facts.version == facts.record.version else facts.record.version,
        "dimensions": facts.dimensions,
        "onnx_only": facts.onnx_only,
        "by_tokens": facts.record.by_tokens,
        "token_share": f"{facts.token_share:g}",
        "cosine_share": f"{1 - facts.token_share:g}" if facts.token_share < 1 else "",
        "prototypes": _prototypes_text(facts.prototypes) if facts.prototypes else "",
        "fit": _fit_text(facts.prototypes.fit) if facts.prototypes else "",
        "cosine_trained": facts.record.trained_by_cosine,
        "skills": f"{facts.skills:,}",
        "esco_version": facts.esco_version,
        "language": facts.language,
        "threshold": f"{calibration.threshold:.3f}" if calibration else "",
        "calibrated_on": calibration.calibrated_on if calibration else "",
    }


def _prototypes_text(prototypes: Prototypes) -> str:
    parts = []
    if prototypes.alternative_labels:
        parts.append(f"{prototypes.alternative_labels:g} of the mean of its alternative labels'")
    if prototypes.sentences:
        of = f"`{prototypes.dataset}` {prototypes.dataset_version}, at most {prototypes.per_skill} a skill"
        parts.append(f"{prototypes.sentences:g} of the mean of sentences' ({of})")
    return " and ".join(parts) or "nothing added"


def _fit_text(fit: Fit | None) -> str:
    if not fit:
        return ""
    names = ", ".join(f"`{name}`" for name in fit.files)
    of_dataset = f"these {fit.sentences:,} sentences and " if fit.sentences else ""
    return f"{of_dataset}{fit.labelled:,} others under their labels ({names}), {fit.epochs} times"


def _result_values(facts: CardFacts) -> dict[str, Any]:
    first = facts.main[0]
    benchmarks = [benchmark for one in facts.main for benchmark in one.benchmarks]
    missing = sorted({label for benchmark in benchmarks for label in benchmark.gold_missing})
    return {
        "tie_order": first.tie_order,
        "bootstrap_samples": f"{first.bootstrap_samples:,}",
        "bootstrap_seed": first.bootstrap_seed,
        "comparisons": [
            {"metric": metric_name(metric), "split": split, "text": _comparison(facts, split, metric)}
            for split in dict.fromkeys(benchmark.split for benchmark in benchmarks)
            for metric in REQUIRED_METRICS
        ],
        "metrics_table": _metrics_table(benchmarks),
        "missing_gold": ", ".join(f"`{label}`" for label in missing),
    }


def _comparison(facts: CardFacts, split: str, metric: str) -> str:
    """One row a system, one column a benchmark of the split; the best last, this model's rows in bold after all."""
    names = list(dict.fromkeys(b.name for one in facts.main for b in one.benchmarks if b.split == split))
    head = ["system", *map(benchmark_name, names)]
    rows = []
    for one in (*_by_value(facts.others, split, metric), *_by_value(facts.own, split, metric)):
        found = {benchmark.name: benchmark.metrics for benchmark in one.benchmarks if benchmark.split == split}
        if not any(metric in found.get(name, {}) for name in names):
            continue
        cells = [_with_interval(found.get(name, {}).get(metric)) for name in names]
        rows.append([f"**{one.system.name}**" if one in facts.own else one.system.name, *cells])
    return markdown_table(head, rows)


def _by_value(systems: Sequence[EvalResults], split: str, metric: str) -> list[EvalResults]:
    """Systems by their mean over a split's benchmarks, then by name: an order that does not hang on file names."""

    def key(one: EvalResults) -> tuple[float, str]:
        found = [b.metrics[metric].value for b in one.benchmarks if b.split == split and metric in b.metrics]
        return sum(found) / max(len(found), 1), one.system.name

    return sorted(systems, key=key)


def _metrics_table(benchmarks: Sequence[BenchmarkResult]) -> str:
    metrics = list(dict.fromkeys(name for benchmark in benchmarks for name in benchmark.metrics))
    head = ["metric", *(f"{benchmark_name(b.name)} {b.split}, {b.queries:,} queries" for b in benchmarks)]
    rows = [[metric_name(name), *(_with_interval(b.metrics.get(name)) for b in benchmarks)] for name in metrics]
    return markdown_table(head, rows)


def _training_values(facts: CardFacts) -> dict[str, Any]:
    record, manifest = facts.record, facts.manifest
    return {
        "base_model": _base_model_text(record),
        "base_revision": record.base_model.revision or "",
        "base_sha": record.base_model.weights_sha256[:12],
        "teacher": record.teacher.id if record.teacher else "",
        "teacher_sha": record.teacher.weights_sha256[:12] if record.teacher else "",
        "dataset": dataset_id(facts),
        "dataset_tag": record.dataset.revision or tag_of(record.dataset.version),
        "sentences": f"{manifest.sentences_accepted:,}",
        "sentences_written": f"{manifest.sentences_written:,}",
        "language_model": manifest.language_model.model,
        "index_dataset_tag": "" if facts.trained_on_manifest else tag_of(manifest.version),
        "recipe_name": record.recipe_name,
        "recipe": yaml.safe_dump(record.recipe, sort_keys=False, allow_unicode=True).strip(),
        "seeds": _seeds_text(record),
        "steps": _steps_text(record),
        "pairs": f"{sum(source.pairs for source in record.sources):,}",
        "written_pairs": f"{sum(source.pairs for source in record.sources if source.name in WRITTEN):,}",
        "loss": _loss_text(record),
        "weights_sha": record.weights_sha256[:12],
        "code_version": record.code_version,
        "command": _without_folders(record.command),
        "averaged_table": _averaged_table(record),
        "sources_table": markdown_table(
            ["source of pairs", "pairs", "skills"],
            [[source.name, f"{source.pairs:,}", f"{source.skills:,}"] for source in record.sources],
        ),
    }


def _seeds_text(record: TrainingRecord) -> str:
    if not record.averaged:
        return f"seed {record.seed}"
    seeds = ", ".join(str(one.seed) for one in record.averaged)
    return f"the mean of the weights of {len(record.averaged)} runs, with seeds {seeds}"


def _steps_text(record: TrainingRecord) -> str:
    epochs = f"{record.epochs:g} epoch{'' if record.epochs == 1 else 's'}"
    if record.averaged:
        return f"{record.steps:,} in all, {epochs} a run"
    return f"{record.steps:,} ({epochs}), best at step {record.best_step:,}"


def _loss_text(record: TrainingRecord) -> str:
    if record.losses:
        return f"{record.losses[0].loss:.3f} at first, {record.losses[-1].loss:.3f} at last"
    last = [f"{one.last_loss:.3f}" for one in record.averaged if one.last_loss is not None]
    return f"{', '.join(last)} at last, by seed" if last else "not logged"


def _averaged_table(record: TrainingRecord) -> str:
    """Validation times 100 of each run by itself and of the mean of their weights; empty for one run alone."""
    own = [point.metrics for point in record.validation if point.step == record.best_step]
    runs = [(f"seed {one.seed}", one.validation) for one in record.averaged]
    runs += [("mean of the weights", metrics) for metrics in own[-1:]]
    names = list(dict.fromkeys(name for _, metrics in runs for name in metrics))
    if not record.averaged or not names:
        return ""
    head = ["run", *(name.replace("rp@", "RP@").replace("_", " ") for name in names)]
    cells = [[f"{100 * found[name]:.2f}" if name in found else _MISSING for name in names] for _, found in runs]
    return markdown_table(head, [[run, *row] for (run, _), row in zip(runs, cells, strict=True)])


def _machine_values(facts: CardFacts) -> dict[str, Any]:
    record, hardware = facts.record, facts.record.hardware
    return {
        "hardware": (
            f"{hardware.processes} process{'es' if hardware.processes > 1 else ''} on {hardware.device}, "
            f"{hardware.cpu_cores} CPU cores, {hardware.peak_memory_bytes / 2**30:.1f} GiB at the peak; "
            f"{record.duration_s / 60:.1f} minutes, {record.pairs_per_s:.1f} pairs a second."
        ),
        "energy": (
            "Energy was not measured."
            if record.energy_kwh is None
            else f"Energy: {record.energy_kwh:.3f} kWh ({record.energy_method})."
        ),
        "libraries": ", ".join(f"{name} {version}" for name, version in record.libraries.items()),
        "forms_table": forms_table(facts),
        "exports_text": _exports_text(facts),
        "speed_text": _speed_text(facts),
    }


def _speed_text(facts: CardFacts) -> str:
    speed = facts.speed
    if speed is None:
        return "Speed was not measured for this version."
    batches = " and ".join(sorted({str(backend.batch_size) for backend in speed.backends}))
    return (
        f"Sentences a second on {speed.device} with {speed.cpu_cores} cores, over {speed.sentences:,} sentences of "
        f"{speed.words_per_sentence:.1f} words in batches of {batches}, tokenising included. Opening model and label "
        f"index and ranking one sentence took {speed.open_and_rank_s:.2f} s beyond importing the libraries."
    )


def _exports_text(facts: CardFacts) -> str:
    if facts.exports is None:
        return ""
    return (
        f"RP@5 times 100 on validation and the mean cosine to the vectors of the trained weights were measured when "
        f"the forms were made, on {facts.exports.processor} with {facts.exports.cpu_cores} cores"
        + (", labels being ranked by their names alone." if facts.prototypes else ".")
    )


def _with_interval(estimate: Estimate | None) -> str:
    if estimate is None:
        return _MISSING
    return f"{100 * estimate.value:.2f} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"
