"""Folders and records worked by hand, for the tests of cards and publishing: a tiny model, its results, its dataset."""

from __future__ import annotations

from pathlib import Path

from dataset_builder.contract import sha256_of_file, write_atomically
from dataset_builder.esco import EscoRelease, Skill
from dataset_builder.schema import (
    DatasetFile,
    DatasetManifest,
    EscoSource,
    LanguageModel,
    Outcomes,
    PromptText,
    TokenUse,
    fold_of,
    pairs_features,
    skills_features,
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


def write_esco(folder: Path) -> Path:
    """RELEASE as ESCO's CSV files."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [f'{s.uri},{s.label},"{chr(10).join(s.alternative_labels)}","",{s.skill_type}' for s in RELEASE.skills]
    head = "conceptUri,preferredLabel,altLabels,description,skillType"
    (folder / "skills_en.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    links = [f"{child},{parent}" for child, parents in RELEASE.broader.items() for parent in parents]
    (folder / "broaderRelationsSkillPillar.csv").write_text("\n".join(["conceptUri,broaderUri", *links]) + "\n")
    groups = [f"{uri},{label}" for uri, label in RELEASE.group_labels.items()]
    (folder / "skillGroups_en.csv").write_text("\n".join(["conceptUri,preferredLabel", *groups]) + "\n")
    return folder


def write_tiny_model(folder: Path) -> Path:
    """A SentenceTransformer folder: BERT of 2 layers, 32 dimensions, seeded weights."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *WORDS,
        *letters[1:],
        *(f"##{c}" for c in letters),
        ",",
        ".",
    ]
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = folder.parent / "vocab.txt"
    vocabulary.write_text("\n".join(tokens), encoding="utf-8")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    base = folder.parent / "bert"
    BertModel(BertConfig(vocab_size=len(tokens), **sizes)).save_pretrained(base)
    BertTokenizerFast(str(vocabulary)).save_pretrained(base)
    SentenceTransformer(str(base), device="cpu").save(str(folder))
    return folder


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


def write_dataset(folder: Path, version: str = VERSION) -> Path:
    """A dataset folder of 4 pairs and 3 skills; the card is the least that `load_dataset` needs."""
    from datasets import Dataset

    skills = RELEASE.skills
    pairs = [
        {"sentence": f"You will {s.label}, {n}.", "skill": s.label, "skill_uri": s.uri, "skills": [s.label],
         "style": "sentence", "family": "paper", "fold": fold_of(s.uri)}
        for n, s in enumerate([*skills, skills[0]])
    ]  # fmt: skip
    labels = [
        {"uri": s.uri, "label": s.label, "alternative_labels": list(s.alternative_labels), "type": s.skill_type}
        for s in skills
    ]
    files = []
    for path, config, split, rows, features in (
        ("pairs/train.parquet", "pairs", "train", pairs[:3], pairs_features()),
        ("pairs/validation.parquet", "pairs", "validation", pairs[3:], pairs_features()),
        ("skills/skills.parquet", "skills", "train", labels, skills_features()),
    ):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        Dataset.from_list(rows, features=features).to_parquet(str(target))
        size, sha = target.stat().st_size, sha256_of_file(target)
        files.append(DatasetFile(path=path, config=config, split=split, rows=len(rows), bytes=size, sha256=sha))
    write_atomically(folder / "README.md", DATASET_CARD.replace(VERSION, version))
    manifest(files, version=version).save(folder)
    return folder


DATASET_CARD = """---
configs:
- config_name: pairs
  default: true
  data_files:
  - split: train
    path: pairs/train.parquet
  - split: validation
    path: pairs/validation.parquet
- config_name: skills
  data_files:
  - split: train
    path: skills/skills.parquet
---

Load it with `load_dataset("NAMESPACE/synthetic-esco-skill-sentences", revision="v1.0.0")`.
"""


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
        "quality": {"coverage": 1.0},
        "files": files,
    }
    return DatasetManifest.model_validate({**values, **changes})


def write_trained_model(folder: Path, version: str = VERSION) -> Path:
    """A tiny model with its training record, as training leaves it."""
    write_tiny_model(folder)
    dataset = DatasetSource(id=version, revision=None, version=version, sha256="d" * 64)
    weights_sha256 = sha256_of_file(folder / "model.safetensors")
    training_record(weights_sha256, version=version, dataset=dataset).save(folder)
    return folder


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
        benchmark_result("house", {"rp@5": estimate(0.3385, 0.03)}),
    ],
)
