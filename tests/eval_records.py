"""Small inputs that several tests of the evaluation share: an ESCO folder, benchmark files, a model on disk."""

from __future__ import annotations

from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding, Transformer
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import BertConfig, BertModel, BertTokenizerFast

from eval.query_metrics import ranks_as_text, values_of
from eval.results import BenchmarkResult, EvalResults, LabelSpace, SystemInfo
from eval.significance import estimates

SKILLS = {
    "bake bread": "make loaves",
    "manage staff": "lead a team\nsupervise workers",
    "write reports ": "",
    "Python": "",
    "drive trucks, vans": "",
}
URI = "http://data.europa.eu/esco/skill/{}"


def write_esco(folder: Path) -> Path:
    """Five skills; the first two are children of one group."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["conceptType,conceptUri,skillType,preferredLabel,altLabels,description"]
    for number, (label, others) in enumerate(SKILLS.items()):
        kind = "knowledge" if label == "Python" else "skill/competence"
        lines.append(f'KnowledgeSkillCompetence,{URI.format(number)},{kind},"{label}","{others}",text')
    (folder / "skills_en.csv").write_text("\n".join(lines), encoding="utf-8")
    relations = ["conceptUri,broaderUri", f"{URI.format(0)},group", f"{URI.format(1)},group"]
    (folder / "broaderRelationsSkillPillar.csv").write_text("\n".join(relations), encoding="utf-8")
    return folder


def write_benchmarks(folder: Path) -> Path:
    """TECH test with three queries and one sentence without skill, HOUSE test and TECH validation with one each."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "tech_test.csv": (
            "sentence,label\n* We bake bread,bake bread\nLead people,manage staff\nLead people,write reports\n"
            "Use Python daily,Python\nFree fruit,LABEL NOT PRESENT\n"
        ),
        "house_test.csv": "sentence,label\nWrite long reports,write reports\n",
        "tech_validation.csv": "sentence,label\nUse Python,Python\nUse Python daily,Python\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def write_bert(folder: Path) -> Path:
    """A BERT of two layers with random weights and mean pooling; its words are single letters."""
    letters = [*"abcdefghijklmnopqrstuvwxyz,*()"]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    base = folder.with_name(folder.name + "-base")
    base.mkdir(parents=True)
    (base / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(vocabulary), **sizes)).save_pretrained(base)
    BertTokenizerFast(vocab=str(base / "vocab.txt")).save_pretrained(base)
    word_vectors = Transformer(str(base))
    SentenceTransformer(modules=[word_vectors, Pooling(32)], device="cpu").save(str(folder))
    return folder


def write_model(folder: Path, seed: int = 0) -> Path:
    """A tiny static-embedding model with random weights, saved as safetensors."""
    texts = [*SKILLS, "We * Lead people Use daily Write long Free fruit"]
    words = sorted({word for text in texts for word in Whitespace().pre_tokenize_str(text) for word in word[:1]})
    tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(["[UNK]", *words])}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    weights = torch.randn(len(words) + 1, 16, generator=torch.Generator().manual_seed(seed)).numpy()
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu").save(str(folder))
    return folder


def results_of(
    name: str,
    ranks: dict[str, list[tuple[int | None, ...]]],
    split: str = "test",
    version: str = "9.9.9",
    size: int = 5,
    data_sha256: str = "data",
    labels_sha256: str = "",
) -> EvalResults:
    """Results with the ranks given for each benchmark, and everything else at its simplest."""
    system = SystemInfo(
        name=name,
        kind="lexical",
        source=name,
        revision=None,
        weights_sha256=None,
        training_record_sha256=None,
        dataset=None,
        dataset_version=None,
        model_version=None,
        settings={},
    )
    benchmarks = [
        BenchmarkResult(
            name=benchmark,
            split=split,
            data_sha256=data_sha256,
            rows=len(found),
            dropped_rows=0,
            queries=len(found),
            gold_labels=len(found),
            gold_missing=[],
            metrics={"rp@5": estimates(values_of(found, "rp@5")[:, None], samples=200)[0]},
            slices={},
            seconds=0.1,
            gold_ranks=ranks_as_text(found),
        )
        for benchmark, found in ranks.items()
    ]
    return EvalResults(
        schema_version=1,
        created_at="2026-01-01T00:00:00+00:00",
        code_version="test",
        command="test",
        split=split,
        system=system,
        label_space=LabelSpace(source="test", version=version, size=size, sha256=labels_sha256 or version),
        tie_order="",
        bootstrap_samples=1000,
        bootstrap_seed=1,
        benchmarks=benchmarks,
        versions={},
        seconds=0.1,
        peak_memory_bytes=1,
    )
