"""Folders and records worked by hand, for the tests of cards and publishing: a tiny model, its results, its dataset."""

from __future__ import annotations

from pathlib import Path

from dataset_builder.contract import sha256_of_file
from dataset_builder.esco import EscoRelease, Skill
from dataset_builder.schema import (
    DatasetFile,
    DatasetManifest,
    EscoSource,
    LanguageModel,
    Outcomes,
    PromptText,
    TokenUse,
)
from eval.results import BenchmarkResult, Estimate, EvalResults, LabelSpace, SystemInfo
from training.run_record import (
    DatasetSource,
    Hardware,
    LossPoint,
    ModelSource,
    SourceCount,
    TrainingRecord,
    ValidationPoint,
)

VERSION = "1.0.0"
WORDS = "bake bread plan run test weld pipes python sell you will our a the".split()
URI = "http://data.europa.eu/esco/skill/"

RELEASE = EscoRelease(
    version="1.1.0",
    language="en",
    skills=(
        Skill(f"{URI}1", "bake bread", ("make bread", "bread baking"), skill_type="skill/competence"),
        Skill(f"{URI}2", "weld pipes", (), skill_type="skill/competence"),
        Skill(f"{URI}3", "Python", ("Python, the language",), skill_type="knowledge"),
    ),
    broader={
        f"{URI}1": (f"{URI}S9.1",),
        f"{URI}S9.1": (f"{URI}S9",),
        f"{URI}S9": (f"{URI}S",),
        f"{URI}2": (f"{URI}1",),
    },
    group_labels={f"{URI}S": "skills", f"{URI}S9": "making things", f"{URI}S9.1": "making food"},
)


def training_record(weights_sha256: str, **changes: object) -> TrainingRecord:
    """A run of 12 steps over 300 pairs, with every number different from every other."""
    values: dict[str, object] = {
        "schema_version": 1,
        "name": "tiny",
        "version": VERSION,
        "created_at": "2026-01-02T03:04:05+00:00",
        "code_version": "v1.0.0-3-gabcdef0",
        "command": "accelerate launch -m training.train --recipe training/recipes/paper.yaml",
        "recipe_name": "paper",
        "recipe": {"learning_rate": 2e-05, "batch_size": 25, "scale": 20.0},
        "seed": 17,
        "base_model": ModelSource(id="org/base-encoder", revision="refs1", weights_sha256="b" * 64),
        "dataset": DatasetSource(id="1.0.0", revision=None, version=VERSION, sha256="d" * 64),
        "sources": [
            SourceCount(name="synthetic", pairs=1200, skills=3),
            SourceCount(name="descriptions", pairs=45, skills=2),
        ],
        "label_space_version": "1.1.0",
        "label_space_sha256": RELEASE.labels_sha256,
        "steps": 1012,
        "epochs": 1.5,
        "pairs_per_s": 36.71,
        "duration_s": 93.0,
        "energy_kwh": 0.0042,
        "energy_method": "RAPL counters of the package",
        "hardware": Hardware(processes=2, device="Test CPU", cpu_cores=8, peak_memory_bytes=3 * 2**29),
        "libraries": {"torch": "2.13.0", "sentence-transformers": "6.2.0"},
        "losses": [LossPoint(step=10, loss=2.3456), LossPoint(step=1010, loss=0.9871)],
        "validation": [ValidationPoint(step=800, metrics={"tech_rp@5": 0.61})],
        "best_step": 800,
        "weights_sha256": weights_sha256,
    }
    return TrainingRecord.model_validate({**values, **changes})


def estimate(value: float, half_width: float = 0.05) -> Estimate:
    return Estimate(value=value, low=value - half_width, high=value + half_width)


def benchmark_result(name: str, metrics: dict[str, Estimate], **changes: object) -> BenchmarkResult:
    values: dict[str, object] = {
        "name": name,
        "split": "test",
        "data_sha256": f"{name:a<64}",
        "rows": 700,
        "dropped_rows": 11,
        "queries": 338,
        "gold_labels": 555,
        "gold_missing": [],
        "metrics": metrics,
        "slices": {},
        "seconds": 1.25,
    }
    return BenchmarkResult.model_validate({**values, **changes})


def eval_results(
    name: str, weights_sha256: str | None, benchmarks: list[BenchmarkResult], **system: object
) -> EvalResults:
    """Results of one system; `system` changes fields of its SystemInfo."""
    info: dict[str, object] = {
        "name": name,
        "kind": "sentence-transformers",
        "source": name,
        "revision": None,
        "weights_sha256": weights_sha256,
        "training_record_sha256": None,
        "dataset": None,
        "dataset_version": None,
        "model_version": None,
        "settings": {},
    }
    return EvalResults(
        schema_version=1,
        created_at="2026-01-02T04:00:00+00:00",
        code_version="v1.0.0-3-gabcdef0",
        command="python -m eval.score_model",
        split="test",
        system=SystemInfo.model_validate({**info, **system}),
        label_space=LabelSpace(source="sample", version="1.1.0", size=3, sha256=RELEASE.labels_sha256),
        tie_order="label-space order",
        bootstrap_samples=2000,
        bootstrap_seed=5,
        benchmarks=benchmarks,
        versions={"numpy": "2.0"},
        seconds=3.0,
        peak_memory_bytes=10**9,
    )


def manifest(files: list[DatasetFile], **changes: object) -> DatasetManifest:
    values: dict[str, object] = {
        "schema_version": 1,
        "name": "synthetic-esco-skill-sentences",
        "version": VERSION,
        "created_at": "2026-01-01T00:00:00+00:00",
        "code_version": "v1.0.0",
        "seed": 1,
        "esco": EscoSource(version="1.1.0", language="en", skills=3, occupations=0, file_sha256={}),
        "prompts": [PromptText(family="paper", version="1", system="s", user="u")],
        "language_model": LanguageModel(
            model="writer-llm", base_url="http://localhost/v1", temperature=1.0, top_p=1.0, max_tokens=64
        ),
        "sentences_per_skill": 10,
        "skills": Outcomes(requested=3, accepted=3, rejected={}, failed={}),
        "sentences_written": 5678,
        "sentences_accepted": 4321,
        "sentences_rejected": {"too short": 1357},
        "replies": {"ok": 30},
        "tokens": TokenUse(requests=30, prompt_tokens=900, completion_tokens=700, cost_usd=None),
        "quality": {
            "coverage": 1.0,
            "coverage_two": 0.3333,
            "leakage": 0.25,
            "leakage_low": 0.046,
            "leakage_high": 0.699,
            "mean_words": 5.25,
            "sentences_per_skill": 1.3333,
            "skills_per_sentence": 1.0,
            "distinct_trigrams": 0.875,
        },
        "histograms": {"words": {"5": 3, "6": 1}, "sentences_per_skill": {"1": 2, "2": 1}, "style": {"sentence": 4}},
        "files": files,
    }
    return DatasetManifest.model_validate({**values, **changes})  # fmt: skip


def own_results(model: Path, **changes: object) -> EvalResults:
    """Results of the model folder on two benchmarks, every number different from every other."""
    record = TrainingRecord.load(model)
    system: dict[str, object] = {
        "training_record_sha256": sha256_of_file(model / "training_record.json"),
        "dataset": record.dataset.id,
        "dataset_version": record.dataset.version,
        "model_version": record.version,
    }
    return eval_results("tiny", record.weights_sha256, OWN_BENCHMARKS, **{**system, **changes})


OWN_BENCHMARKS = [
    benchmark_result(
        "tech",
        {"rp@1": estimate(0.4321), "rp@5": estimate(0.56164), "mrr": estimate(0.512)},
        queries=338,
        gold_missing=["fly kites"],
    ),
    benchmark_result("house", {"rp@5": estimate(0.4511, 0.03), "mrr": estimate(0.4026, 0.02)}, queries=262),
]
OTHER_RESULTS = eval_results(
    "stock encoder",
    "c" * 64,
    [
        benchmark_result("tech", {"rp@5": estimate(0.4557), "mrr": estimate(0.4409)}),
        benchmark_result("house", {"rp@5": estimate(0.3385, 0.03)}, queries=262),
    ],
)
