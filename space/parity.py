r"""A model folder -> do its backends find the same skills? Writes results/parity.json.

    python -m space.parity MODEL --queries tech_validation.csv house_validation.csv [--reference UNQUANTISED_MODEL]

Every backend ranks the model's label index for the same sentences; each is compared with the reference, which is torch,
else ONNX, of the reference folder. A released folder that holds int8 alone is compared with the folder it came from.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataset_builder.benchmark_files import GoldSentence, read_validation_file
from dataset_builder.contract import StageError, code_version, run_command, sha256_of_file, write_atomically
from encoders import Backend, LoadedEncoder, load_encoder
from skill_finder import SkillFinderError
from skill_index import Encoder, SkillIndex, read_index
from token_scores import SpanReader, scores_of

TOP = 10
K = 5
IN_ORDER_OF_TRUST: tuple[Backend, ...] = ("torch", "torch-bf16", "onnx", "onnx-int8")


@dataclass(frozen=True)
class Agreement:
    """One backend beside the reference. Shares and RP@5 lie in [0, 1].

    `same_top_10`: queries whose ten best skills are the same ten, in any order; `shared_of_10`: mean share of the
    reference's ten that are there; `same_best`: queries with the same best skill.
    """

    backend: str
    file: str
    bytes: int
    queries: int
    same_top_10: float
    shared_of_10: float
    same_best: float
    rp_at_5: float
    rp_at_5_of_reference: float


def top_skills(encoder: Encoder, index: SkillIndex, sentences: Sequence[str], count: int) -> NDArray[np.int64]:
    """Numbers of the `count` nearest skills, best first, ties in label order: (sentences, count)."""
    scores = scores_of(SpanReader(encoder, index).read(list(sentences)), index)
    return np.argsort(-scores, axis=1, kind="stable")[:, :count]


def gold_numbers(queries: Sequence[GoldSentence], number: Mapping[str, int]) -> list[frozenset[int]]:
    """Numbers of each query's labels; one that is not among them counts as missed, under a number below 0."""
    return [frozenset(number.get(label, -1 - i) for i, label in enumerate(query.labels)) for query in queries]


def r_precision(ranked: NDArray[np.int64], gold: Sequence[frozenset[int]], k: int = K) -> float:
    """Mean over queries of |top k and gold| / min(k, |gold|)."""
    return float(
        np.mean(
            [
                len(wanted.intersection(row[:k].tolist())) / min(k, len(wanted))
                for row, wanted in zip(ranked, gold, strict=True)
            ]
        )
    )


def compare(
    ranked: NDArray[np.int64], reference: NDArray[np.int64], gold: Sequence[frozenset[int]], encoder: LoadedEncoder
) -> Agreement:
    """Agreement of two rankings of the same queries, each (queries, 10)."""
    shared = np.array(
        [len(set(ours) & set(theirs)) for ours, theirs in zip(ranked.tolist(), reference.tolist(), strict=True)]
    )
    return Agreement(
        backend=encoder.backend,
        file=encoder.weight_file.name,
        bytes=encoder.weight_file.stat().st_size,
        queries=len(gold),
        same_top_10=float(np.mean(shared == ranked.shape[1])),
        shared_of_10=float(np.mean(shared / ranked.shape[1])),
        same_best=float(np.mean(ranked[:, 0] == reference[:, 0])),
        rp_at_5=r_precision(ranked, gold),
        rp_at_5_of_reference=r_precision(reference, gold),
    )


def measure(model: Path, reference: Path, queries: Sequence[GoldSentence]) -> list[Agreement]:
    """Compare every backend that `model` holds with the reference.

    Raises:
        SkillFinderError: no weights, no label index, or nothing to compare.
    """
    trusted = next(iter(_backends(reference)), None)
    there = _backends(model)
    compared = [one for one in there if trusted is None or (one.backend, one.weight_file) != _run_of(trusted)]
    if trusted is None or not compared:
        raise SkillFinderError(f"{model} holds nothing beside its reference: give a folder with --reference")
    index = read_index(model, compared[0].weight_file)
    number = {skill.label: i for i, skill in enumerate(index.skills)}
    gold = gold_numbers(queries, number)
    if all(max(wanted, default=-1) < 0 for wanted in gold):
        raise SkillFinderError("no query asks for a skill of the model's label index")
    sentences = [query.sentence for query in queries]
    expected = top_skills(trusted, index, sentences, TOP)
    return [compare(top_skills(one, index, sentences, TOP), expected, gold, one) for one in compared]


def _run_of(encoder: LoadedEncoder) -> tuple[str, Path]:
    return encoder.backend, encoder.weight_file


def _backends(folder: Path) -> list[LoadedEncoder]:
    found = []
    for backend in IN_ORDER_OF_TRUST:
        try:
            found.append(load_encoder(folder, backend))
        except SkillFinderError:
            # Not there: what is there is compared.
            continue
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare and write."""
    parser = argparse.ArgumentParser(prog="python -m space.parity", description="Compare a model's backends.")
    parser.add_argument("model", type=Path, help="model folder with a label index")
    parser.add_argument("--queries", type=Path, nargs="+", required=True, help="benchmark CSVs: sentence, label")
    parser.add_argument("--reference", type=Path, help="folder whose torch or ONNX weights are right; default: MODEL")
    parser.add_argument("--out", type=Path, default=Path("results/parity.json"))
    given = parser.parse_args(arguments)
    queries = [query for file in given.queries for query in read_validation_file(file).queries]
    try:
        results = measure(given.model, given.reference or given.model, queries)
    except SkillFinderError as error:
        raise StageError(str(error)) from None
    about = {
        "model": given.model.resolve().name,
        "reference": (given.reference or given.model).resolve().name,
        "code_version": code_version(),
        "queries_sha256": {file.name: sha256_of_file(file) for file in given.queries},
    }
    backends = [asdict(one) for one in results]
    write_atomically(given.out, json.dumps({"schema_version": 1, **about, "backends": backends}, indent=2) + "\n")
    sys.stdout.write(report(results) + "\n")


def report(results: Sequence[Agreement]) -> str:
    """The figures as a Markdown table."""
    lines = [
        "| backend | MB | queries | same top 10 | shared of 10 | same best | RP@5 | RP@5 of the reference |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {one.backend} ({one.file}) | {one.bytes / 1e6:.1f} | {one.queries} | {100 * one.same_top_10:.1f}% "
        f"| {100 * one.shared_of_10:.1f}% | {100 * one.same_best:.1f}% | {100 * one.rp_at_5:.2f} "
        f"| {100 * one.rp_at_5_of_reference:.2f} |"
        for one in results
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run_command(main))
