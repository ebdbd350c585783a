"""A model folder -> speed.json: how fast it opens, encodes and ranks on this machine, one line a weight file.

    python -m model_card.speed MODEL_DIR [--sentences eval/mini_benchmark.csv] [--repeat 3]

Run it before `python -m model_card.build`, which puts the figures into the card. Rates are of the best of some runs
over the same sentences, cut at 128 tokens, tokenising included; what is ranked is ranked by the cosine alone.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from dataset_builder.benchmark_files import read_benchmark_file
from dataset_builder.contract import Record, StageError, Strict, code_version, run_command
from model_card.label_index import check_weights, open_label_index, weight_files
from model_card.onnx_encoder import BATCH_SIZE, MAX_TOKENS, OnnxEncoder, cores_here

DEFAULT_SENTENCES = Path(__file__).resolve().parent.parent / "eval" / "mini_benchmark.csv"
Encode = Callable[[list[str]], Any]


class BackendSpeed(Strict):
    """One way to run the model: its weight file and its rate over short sentences."""

    backend: str
    weights_file: str
    sentences_per_s: float = Field(gt=0)
    batch_size: int


class SpeedRecord(Record):
    """Rates on one machine. `open_and_rank_s`: model and label index opened and one sentence ranked, imports done."""

    FILE_NAME: ClassVar[str] = "speed.json"
    SCHEMA_VERSION: ClassVar[int] = 1

    created_at: str
    code_version: str
    device: str
    cpu_cores: int
    sentences: int
    words_per_sentence: float
    open_and_rank_s: float
    backends: list[BackendSpeed]
    weights_sha256: dict[str, str]
    libraries: dict[str, str]


def measure_speed(folder: Path, sentences: list[str], repeat: int, cores: int) -> SpeedRecord:
    """Time opening and ranking, then every weight file of the folder over all sentences.

    Args:
        folder: a model folder with its label index.
        sentences: what is encoded.
        repeat: runs of which the best counts.
        cores: CPU cores that the libraries may use.

    Raises:
        StageError: no weights, no label index, or one of other weights.
    """
    weights = weight_files(folder)
    check_weights(open_label_index(folder), weights)
    open_and_rank_s = _open_and_rank(folder, first_choice(weights), sentences[0], cores)
    backends = []
    for path in weights:
        backend, encode = _open(folder, path, cores)
        encode(sentences[:BATCH_SIZE])
        best = min(_seconds(encode, sentences) for _ in range(repeat))
        rate = len(sentences) / best
        backends.append(BackendSpeed(backend=backend, weights_file=path, sentences_per_s=rate, batch_size=BATCH_SIZE))
    used = ("sentence-transformers", "torch", *(["onnxruntime"] if any("onnx" in path for path in weights) else []))
    return SpeedRecord(
        schema_version=SpeedRecord.SCHEMA_VERSION,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        code_version=code_version(),
        device=_cpu_name(),
        cpu_cores=cores,
        sentences=len(sentences),
        words_per_sentence=sum(len(sentence.split()) for sentence in sentences) / len(sentences),
        open_and_rank_s=open_and_rank_s,
        backends=backends,
        weights_sha256=weights,
        libraries={name: version(name) for name in used},
    )


def first_choice(weights: Iterable[str]) -> str:
    """The weight file that someone who names none gets: those that training wrote, else the first export."""
    return min(weights, key=lambda path: (not path.endswith(".safetensors"), path))


def _open_and_rank(folder: Path, weights_file: str, sentence: str, cores: int) -> float:
    """Seconds from nothing but imported libraries to a ranking of all skills by the cosine."""
    onnx = ("onnxruntime", "tokenizers")
    torch = ("sentence_transformers", "transformers.models.bert.modeling_bert")
    for library in ("pyarrow.parquet", "safetensors.numpy", *(onnx if weights_file.endswith(".onnx") else torch)):
        import_module(library)
    start = time.perf_counter()
    index = open_label_index(folder, weights_file)
    _, encode = _open(folder, weights_file, cores)
    vector = encode([sentence])[0]
    scores = index.embeddings.astype(np.float32) @ (vector / np.linalg.norm(vector))
    np.argsort(-scores, kind="stable")
    return time.perf_counter() - start


def _seconds(encode: Encode, sentences: list[str]) -> float:
    start = time.perf_counter()
    encode(sentences)
    return time.perf_counter() - start


def _open(folder: Path, weights_file: str, cores: int) -> tuple[str, Encode]:
    if weights_file.endswith(".onnx"):
        return "onnxruntime", OnnxEncoder(folder, weights_file, cores).encode
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(cores)
    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    model.max_seq_length = min(model.max_seq_length or MAX_TOKENS, MAX_TOKENS)
    return "torch", lambda texts: model.encode(texts, batch_size=BATCH_SIZE, show_progress_bar=False)


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m model_card.speed", description="Measure a model folder's speed on this machine's CPU."
    )
    parser.add_argument("folder", type=Path, metavar="MODEL_DIR", help="folder that model_card.build completed")
    parser.add_argument(
        "--sentences", type=Path, default=DEFAULT_SENTENCES, help="CSV with the columns sentence, label"
    )
    parser.add_argument("--repeat", type=int, default=3, help="runs of which the best counts (default: 3)")
    given = parser.parse_args(arguments)
    if given.repeat < 1:
        raise StageError(f"--repeat must be at least 1, got {given.repeat}")
    sentences = [query.sentence for query in read_benchmark_file(given.sentences).queries]
    record = measure_speed(given.folder, sentences, given.repeat, cores_here())
    record.save(given.folder)
    for one in record.backends:
        print(f"{one.backend:<12} {one.weights_file:<40} {one.sentences_per_s:>10,.0f} sentences a second")
    print(f"opened and ranked one sentence in {record.open_and_rank_s:.2f} s")


if __name__ == "__main__":
    sys.exit(run_command(main))
