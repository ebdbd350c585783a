"""CardFacts -> what machines read of a card: its YAML with `model-index`, and the Hub's evaluation-result file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath
from typing import Any

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

from dataset_builder.hub import METRIC_REPO, NAMESPACE, is_hub_id
from eval.results import BenchmarkResult, EvalResults
from model_card.facts import CardFacts
from training.run_record import TrainingRecord

# Benchmarks that stand on the Hub under names of their own.
HUB_BENCHMARKS = {name: f"TechWolf/skill-extraction-{name}" for name in ("tech", "house", "techwolf")}
_METRIC_NAMES = {"hit": "Hit", "recall": "Recall", "ndcg": "nDCG"}


def front_matter(facts: CardFacts, licence: str) -> dict[str, Any]:
    """The card's YAML as the Hub reads it."""
    record = facts.record
    matter: dict[str, Any] = {
        "language": [facts.language],
        "license": licence,
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "tags": ["sentence-transformers", "feature-extraction", "esco", "skills", "job-ads", "skill-extraction"],
        "datasets": [dataset_id(facts)],
        "metrics": [f"{NAMESPACE}/{METRIC_REPO}"],
    }
    # The Hub takes base models by their id only.
    if base := hub_base_model(record):
        matter["base_model"] = base
    matter["model-index"] = [{"name": record.name, "results": _model_index(facts.main, facts.language)}]
    return matter


def hub_eval_results(facts: CardFacts) -> str:
    """The newer `.eval_results/*.yaml` of the Hub: RP@5 of each test set that has a dataset of its own there.

    Returns:
        YAML in the client library's form; "" where no benchmark is on the Hub.
    """
    entries = [
        EvalResultEntry(
            dataset_id=hub_benchmark(benchmark, facts.language),
            task_id="default",
            value=round(100 * benchmark.metrics["rp@5"].value, 2),
            date=one.created_at,
            notes=f"RP@5 times 100, {benchmark.split}, ESCO {one.label_space.version}, {one.label_space.size} labels",
        )
        for one in facts.main
        for benchmark in one.benchmarks
        if hub_benchmark(benchmark, facts.language) and benchmark.split == "test"
    ]
    listed = eval_result_entries_to_yaml(entries)
    return yaml.safe_dump(listed, sort_keys=False) if listed else ""


def dataset_id(facts: CardFacts) -> str:
    """The dataset's name on the Hub: as trained on, or where a local folder of ours will be published."""
    trained_on = facts.record.dataset.id
    return trained_on if is_hub_id(trained_on) else f"{NAMESPACE}/{facts.manifest.name}"


def hub_base_model(record: TrainingRecord) -> str:
    """The base model's Hub id: as trained from, or the recipe's where a local folder of that name was taken; or ""."""
    used, named = record.base_model.id, str(record.recipe.get("base_model", ""))
    if is_hub_id(used):
        return used
    return named if is_hub_id(named) and PurePath(named).name == used else ""


def hub_benchmark(benchmark: BenchmarkResult, language: str) -> str:
    """The Hub dataset that a benchmark is: English, and with as many queries; "" for a file that is only named so."""
    return HUB_BENCHMARKS[benchmark.name.lower()] if language == "en" and benchmark.is_techwolfs else ""


def _model_index(results: Iterable[EvalResults], language: str) -> list[dict[str, Any]]:
    return [
        {
            "task": {"type": "information-retrieval", "name": "Skill extraction"},
            "dataset": {
                "type": hub_benchmark(benchmark, language) or benchmark.name,
                "name": benchmark_name(benchmark.name),
                "split": benchmark.split,
            },
            "metrics": [
                {"type": name.replace("@", "_at_"), "name": metric_name(name), "value": round(100 * estimate.value, 2)}
                for name, estimate in benchmark.metrics.items()
            ],
        }
        for one in results
        for benchmark in one.benchmarks
    ]


def metric_name(name: str) -> str:
    """A metric as people write it: "ndcg@10" -> "nDCG@10"."""
    kind, at, k = name.partition("@")
    return _METRIC_NAMES.get(kind, kind.upper()) + at + k


def benchmark_name(benchmark: str) -> str:
    """A benchmark as people write it: "tech" -> "TECH"; a file of one's own keeps its name."""
    return benchmark.upper() if benchmark.lower() in HUB_BENCHMARKS else benchmark
