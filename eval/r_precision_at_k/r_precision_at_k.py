"""Ranked predictions and sets of relevant items -> R-Precision@k and, when asked, mean reciprocal rank."""

import numbers
import operator
from typing import Any

import datasets
import evaluate

_Values = dict[str, list[float | None]]

_DESCRIPTION = """
R-Precision@k (RP@k) says how much of what could be right in the first k predictions is right. It divides by
min(k, number of relevant items), so a perfect ranking scores 1.0 for every k and for every number of relevant items.

    RP@k = mean over examples of |first k predictions that are relevant| / min(k, |relevant items|)
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: list of lists; the items of each example, best first, none of them twice. Strings or whole numbers.
        A list may be shorter than k, or empty.
    references: list of lists; the relevant items of each example, in any order. Repeated items count once.
    k: how many predictions to look at; a whole number of 1 or more, or several of them. Default 5.
    per_example: also return the values of the single examples, in input order. Default False.
    mrr: also return the mean reciprocal rank of the first relevant prediction (0 where none is relevant; it sees
        only the predictions given, so give the whole ranking for the usual MRR). Default False.
    on_empty: what to do with an example without references: "error" (default) or "skip", which leaves such examples
        out of the mean, counts them under "skipped" and shows None for them in "per_example".

Returns:
    dict with one float in [0, 1] a key: "rp@5" for k=5 and so on, "mrr" when asked. Higher is better. With
    on_empty="skip" also "skipped" (int), with per_example=True also "per_example" (dict of lists).

Raises:
    ValueError: k below 1 or not whole, an item predicted twice, an example without references (unless skipped), an
        unknown on_empty, or nothing to score.

Examples:
    >>> metric = evaluate.load("r_precision_at_k")
    >>> metric.compute(predictions=[["a", "b"]], references=[["b"]], k=5)
    {'rp@5': 1.0}
    >>> metric.compute(predictions=[["a", "b", "c"], ["x", "y", "z"]], references=[["a", "c"], ["y"]], k=[1, 2])
    {'rp@1': 0.5, 'rp@2': 0.75}
    >>> metric.compute(predictions=[["a", "b"], ["c"]], references=[["b"], []], k=1, mrr=True, on_empty="skip")
    {'rp@1': 0.0, 'mrr': 0.5, 'skipped': 1}
    >>> metric.compute(predictions=[["a", "b"], ["d"]], references=[["b", "c"], ["d"]], k=2, per_example=True)
    {'rp@2': 0.75, 'per_example': {'rp@2': [0.5, 1.0]}}
"""

_CITATION = """
@inproceedings{decorte2023extreme,
  title = {Extreme Multi-Label Skill Extraction Training using Large Language Models},
  author = {Decorte, Jens-Joris and Verlinden, Severine and Van Hautte, Jeroen and Deleu, Johannes and
            Develder, Chris and Demeester, Thomas},
  booktitle = {AI4HR and PES workshop at ECML-PKDD},
  year = {2023},
  url = {https://arxiv.org/abs/2307.10778}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class RPrecisionAtK(evaluate.Metric):  # type: ignore[misc]
    """R-Precision@k as an `evaluate` metric."""

    def _info(self) -> evaluate.MetricInfo:
        items = datasets.Sequence(datasets.Value("string"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features({"predictions": items, "references": items}),
            reference_urls=["https://arxiv.org/abs/2307.10778"],
        )

    def add_batch(self, *, predictions: Any, references: Any) -> None:
        """Add examples; what the library would only notice later, or take for something else, is refused here.

        Raises:
            ValueError: no example, different numbers of predictions and references, or not lists of items.
        """
        rankings, golds = _as_lists(predictions, "predictions"), _as_lists(references, "references")
        if len(rankings) != len(golds):
            raise ValueError(
                f"got {len(rankings)} predictions for {len(golds)} references; give one list of each an example"
            )
        if not rankings:
            raise ValueError("nothing to score: there are no examples")
        super().add_batch(predictions=rankings, references=golds)

    def add(self, *, prediction: Any, reference: Any) -> None:
        """Add one example: its ranking and its relevant items."""
        self.add_batch(predictions=[prediction], references=[reference])

    def _compute(
        self,
        predictions: list[list[str] | None],
        references: list[list[str] | None],
        k: int | list[int] = 5,
        per_example: bool = False,
        mrr: bool = False,
        on_empty: str = "error",
    ) -> dict[str, Any]:
        cutoffs = _checked_cutoffs(k)
        if on_empty not in ("error", "skip"):
            raise ValueError(f"on_empty must be 'error' or 'skip', got {on_empty!r}")
        names = [f"rp@{cutoff}" for cutoff in cutoffs] + (["mrr"] if mrr else [])
        values: _Values = {name: [] for name in names}
        for position, (ranking, relevant) in enumerate(zip(predictions, references, strict=True)):
            gold = set(relevant or ())
            if not gold and on_empty == "error":
                raise ValueError(
                    f"example {position} has no references: RP@k is not defined for it. "
                    "Give on_empty='skip' to leave such examples out"
                )
            _check_ranking(ranking or [], position)
            scores = _scores_of(ranking or [], gold, cutoffs)
            for name, score in zip(names, scores, strict=False):
                values[name].append(score if gold else None)
        return _summary(values, per_example, counts_skipped=on_empty == "skip")


def _as_lists(column: Any, name: str) -> list[list[str]]:
    """A column of lists (Python, numpy, Arrow or `datasets`) as lists of strings.

    Raises:
        ValueError: not a list of lists, or an item that is neither text nor a whole number.
    """
    rows = column.to_pylist() if hasattr(column, "to_pylist") else column
    rows = rows.tolist() if hasattr(rows, "tolist") else rows
    if rows is None or isinstance(rows, str):
        raise ValueError(f"{name} must be a list of lists, got {rows!r}")
    return [_as_strings(row, f"{name}[{position}]") for position, row in enumerate(rows)]


def _as_strings(row: Any, where: str) -> list[str]:
    row = row.tolist() if hasattr(row, "tolist") else row
    if isinstance(row, str) or not hasattr(row, "__iter__"):
        raise ValueError(f"{where} must be a list of items, got {row!r}")
    items = list(row)
    for item in items:
        if isinstance(item, bool) or not isinstance(item, str | numbers.Integral):
            raise ValueError(f"{where} holds {item!r}, which is neither text nor a whole number")
    return [str(item) for item in items]


def _checked_cutoffs(k: int | list[int]) -> list[int]:
    """Cut-offs in the order given, each once.

    Raises:
        ValueError: none given, or one below 1 or not whole.
    """
    given = list(k) if hasattr(k, "__iter__") and not isinstance(k, str) else [k]
    if not given:
        raise ValueError("k must hold at least one whole number of 1 or more, got none")
    cutoffs = []
    for value in given:
        try:
            cutoff = operator.index(value)
        except TypeError:
            cutoff = 0
        if cutoff < 1 or isinstance(value, bool):
            raise ValueError(f"k must be a whole number of 1 or more, got {value!r}")
        cutoffs.append(cutoff)
    return list(dict.fromkeys(cutoffs))


def _check_ranking(ranking: list[str], position: int) -> None:
    if len(set(ranking)) == len(ranking):
        return
    seen = set()
    for item in ranking:
        if item in seen:
            raise ValueError(f"example {position} predicts {item!r} twice: a ranking holds each item once")
        seen.add(item)


def _scores_of(ranking: list[str], gold: set[str], cutoffs: list[int]) -> list[float]:
    """RP at each cut-off, then the reciprocal rank, of one example."""
    hits = [rank for rank, item in enumerate(ranking, start=1) if item in gold]
    precisions = [sum(rank <= cutoff for rank in hits) / max(min(cutoff, len(gold)), 1) for cutoff in cutoffs]
    return [*precisions, 1 / hits[0] if hits else 0.0]


def _summary(values: _Values, per_example: bool, counts_skipped: bool) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, scores in values.items():
        scored = [score for score in scores if score is not None]
        if not scored:
            raise ValueError("nothing to score: no example has references")
        result[name] = sum(scored) / len(scored)
    if counts_skipped:
        result["skipped"] = len(scores) - len(scored)
    if per_example:
        result["per_example"] = values
    return result
