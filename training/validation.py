"""Benchmark files and a label space -> RP@k while training: every label is ranked for every sentence.

Only `*_validation.csv` is measured on. `*_test.csv` or `test.csv` beside it is read to keep its sentences out: of what
is measured here, since TECH's validation and test share some, and of what is trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers.base.evaluation import BaseEvaluator
from sentence_transformers.util import cos_sim

from dataset_builder.benchmark_files import GoldSentence, read_benchmark_file, read_validation_file, test_files_in
from dataset_builder.contract import StageError
from training.label_space import LabelSpace
from training.losses import token_match_scores

VALIDATION = "_validation.csv"
DEFAULT_METRIC = Path(__file__).resolve().parent.parent / "eval" / "r_precision_at_k"
ENCODE_BATCH = 128

# predictions, references, k -> RP@k of each example, in [0, 1]
Metric = Callable[[list[list[str]], list[list[str]], int], list[float]]


@dataclass(frozen=True)
class Benchmark:
    """Sentences with gold labels that may choose between checkpoints."""

    name: str
    queries: tuple[GoldSentence, ...]


@dataclass(frozen=True)
class ValidationSet:
    """What is measured on, every sentence that must not be trained on, and how many were left out as test sentences."""

    benchmarks: tuple[Benchmark, ...]
    forbidden: tuple[str, ...]
    shared_with_test: int


def read_validation(place: str | Path) -> ValidationSet:
    """Read a folder's `*_validation.csv` files, or one CSV of the same shape.

    Raises:
        StageError: nothing of the kind there, or nothing left of a file.
    """
    path = Path(place)
    files = sorted(path.glob(f"*{VALIDATION}")) if path.is_dir() else [path]
    if not files:
        raise StageError(f"{path} holds no file named *{VALIDATION}", "Give the benchmarks' folder, or one CSV file")
    whole = [read_benchmark_file(file) for file in files]
    kept = [read_validation_file(file) for file in files]
    tests = [read_benchmark_file(file) for file in test_files_in(files[0].parent)]
    benchmarks = [
        Benchmark(file.name.removesuffix(".csv").removesuffix("_validation"), content.queries)
        for file, content in zip(files, kept, strict=True)
    ]
    forbidden = [sentence for content in [*whole, *tests] for sentence in content.sentences]
    shared = sum(len(before.queries) - len(after.queries) for before, after in zip(whole, kept, strict=True))
    return ValidationSet(tuple(benchmarks), tuple(forbidden), shared)


def load_metric(place: str | Path = DEFAULT_METRIC) -> Metric:
    """Load R-Precision@k by `evaluate.load`.

    Args:
        place: folder of the metric, or its Hub id with an optional @revision.

    Raises:
        StageError: it cannot be loaded.
    """
    import evaluate

    name, _, revision = str(place).partition("@") if not Path(place).exists() else (str(place), "", "")
    try:
        module = evaluate.load(name, revision=revision or None)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise StageError(f"metric {place} cannot be loaded ({reason})", "Give --metric FOLDER_OR_HUB_ID") from error

    def compute(predictions: list[list[str]], references: list[list[str]], k: int) -> list[float]:
        result = module.compute(predictions=predictions, references=references, k=k, per_example=True)
        return [float(value) for value in result["per_example"][f"rp@{k}"]]

    return compute


def need_benchmark(validation: ValidationSet | None, primary: str) -> None:
    """Make sure that what chooses the checkpoint is one of the benchmarks, or "mean"; without any nothing is chosen.

    Raises:
        StageError: it is neither.
    """
    names = ["mean", *(benchmark.name for benchmark in validation.benchmarks)] if validation else [primary]
    if primary not in names:
        raise StageError(f"validation metric {primary!r} is no benchmark", f"Known: {', '.join(names)}")


class SkillRanking(BaseEvaluator):  # type: ignore[misc]
    """RP@k of each benchmark and their mean, as the trainer's evaluator.

    Args:
        validation: what to measure on.
        labels: the label space; ties resolve by its order.
        metric: R-Precision@k.
        k: how many labels are looked at.
        primary: name of the benchmark that chooses the best checkpoint, or "mean".
        token_share: share of the token-level score in what ranks, the rest being plain cosine; 0 for cosine alone.

    Raises:
        StageError: `primary` is no benchmark.
    """

    def __init__(
        self,
        validation: ValidationSet,
        labels: LabelSpace,
        metric: Metric,
        k: int = 5,
        primary: str = "mean",
        token_share: float = 0.0,
    ) -> None:
        super().__init__()
        need_benchmark(validation, primary)
        self.validation = validation
        self.labels = labels
        self.metric = metric
        self.k = k
        self.primary_metric = f"rp@{k}_{primary}"
        self.token_share = token_share

    def __call__(
        self, model: Any, output_path: str | None = None, epoch: float = -1, steps: int = -1
    ) -> dict[str, float]:
        """Means of `each`, and the mean of these."""
        values = {name: float(np.mean(single)) for name, single in self.each(model).items()}
        values["mean"] = float(np.mean(list(values.values())))
        return {f"rp@{self.k}_{name}": value for name, value in values.items()}

    def each(self, model: Any) -> dict[str, list[float]]:
        """RP@k of every sentence by benchmark; the label space and every sentence are encoded once."""
        queries = [query for benchmark in self.validation.benchmarks for query in benchmark.queries]
        top = self._top_labels(model, [query.sentence for query in queries])
        values, start = {}, 0
        for benchmark in self.validation.benchmarks:
            end = start + len(benchmark.queries)
            gold = [list(query.labels) for query in benchmark.queries]
            values[benchmark.name] = self.metric(top[start:end], gold, self.k)
            start = end
        return values

    def _top_labels(self, model: Any, sentences: Sequence[str]) -> list[list[str]]:
        was_training = model.training
        model.eval()
        try:
            with torch.inference_mode():
                scores = self._mixed(model, sentences) if self.token_share else self._cosines(model, sentences)
        finally:
            model.train(was_training)
        best = np.argsort(-scores, axis=1, kind="stable")[:, : 2 * self.k]
        # Two skills may share a label; it is one answer.
        return [list(dict.fromkeys(self.labels.labels[position] for position in row))[: self.k] for row in best]

    def _cosines(self, model: Any, sentences: Sequence[str]) -> np.ndarray:
        """(sentences, labels)."""
        options = {"batch_size": ENCODE_BATCH, "normalize_embeddings": True, "show_progress_bar": False}
        labels = model.encode(list(self.labels.labels), **options)
        return np.asarray(model.encode(list(sentences), **options) @ labels.T)

    def _mixed(self, model: Any, sentences: Sequence[str]) -> np.ndarray:
        """(sentences, labels): the token-level score by its share, and plain cosine."""
        options = {"batch_size": ENCODE_BATCH, "show_progress_bar": False}
        labels = model.encode(list(self.labels.labels), convert_to_tensor=True, **options).float()
        rows = []
        for output in model.encode(list(sentences), output_value=None, **options):
            tokens, mask = output["token_embeddings"][None].float(), output["attention_mask"][None]
            by_tokens = token_match_scores(tokens, mask, labels)[0]
            cosines = cos_sim(output["sentence_embedding"][None].float(), labels)[0]
            rows.append((self.token_share * by_tokens + (1 - self.token_share) * cosines).cpu().numpy())
        return np.stack(rows)
