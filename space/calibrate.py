r"""Labelled job-ad sentences -> skill_finder.json of a model, and how well it stays silent (rejection.json).

    python -m space.calibrate MODEL --train skillspan/train.json --dev skillspan/dev.json \
        --validation tech_validation.csv house_validation.csv

The gate (which sentences may ask for a skill) is fitted on SkillSpan train. The threshold (how near a skill must be)
and the weight of shared words come from the validation sentences of the benchmarks by F0.5: a wrong skill costs more
than a missed one. So few sentences do not tell near choices apart: of those within one standard error of the best, the
one that finds most is taken (the rule of Breiman et al. 1984, Classification and Regression Trees, 3.4.3). The gate is
measured on SkillSpan dev, which took no part in the choice. (TECH and HOUSE validation were drawn from it: the
threshold has seen some of its sentences, the gate has seen none.) Sentences that stand in a test file beside the
validation files are left out everywhere.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Container, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset_builder.benchmark_files import (
    GoldSentence,
    read_benchmark_file,
    read_validation_file,
    test_files_in,
    text_key,
)
from dataset_builder.contract import StageError, code_version, run_command, write_atomically
from encoders import BACKENDS
from no_skill import Gate
from skill_finder import Settings, SkillFinder, SkillFinderError
from skill_index import Vectors, index_metadata, sha256_of_file
from taxonomy import encode_skills
from threshold_choice import Choice, choose_threshold, qualities
from token_scores import RememberingReader

RECALL = 0.95
SHORT_TOKENS = 3
FOLDS = 5
CALIBRATED_ON = "SkillSpan train (gate) and benchmark validation (threshold, shared words)"


@dataclass(frozen=True)
class LabelledSentences:
    """SkillSpan sentences. `has_skill`: (sentences,) whether any token is part of a skill or knowledge span."""

    sentences: tuple[str, ...]
    tokens: NDArray[np.int64]
    has_skill: NDArray[np.bool_]
    documents: NDArray[np.int64]


def read_skillspan(path: Path, forbidden: Container[str] = ()) -> LabelledSentences:
    """Read a file of SkillSpan, one JSON object a line, without the sentences whose `text_key` is forbidden.

    Raises:
        StageError: no such file, or a line of another shape.
    """
    if not path.is_file():
        raise StageError(f"{path} does not exist", "Give SkillSpan's train.json and dev.json")
    sentences, counts, flags, documents = [], [], [], []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            tags = [*row["tags_skill"], *row["tags_knowledge"]]
            tokens, document = row["tokens"], int(row["idx"])
            sentence = " ".join(tokens)
        except (KeyError, TypeError, ValueError) as error:
            raise StageError(f"{path} line {number} is not a SkillSpan sentence ({error!r})") from None
        if text_key(sentence) in forbidden:
            continue
        sentences.append(sentence)
        counts.append(len(tokens))
        flags.append(any(tag != "O" for tag in tags))
        documents.append(document)
    if len(set(flags)) < 2:
        raise StageError(f"{path} needs sentences with and without skills")
    return LabelledSentences(tuple(sentences), np.array(counts), np.array(flags), np.array(documents))


def fit_gate(vectors: Vectors, has_skill: NDArray[np.bool_], documents: NDArray[np.int64]) -> Gate:
    """Logistic regression on sentence vectors; `least` keeps 95% of the sentences with skills of held-out ads."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict

    model = LogisticRegression(C=10.0, max_iter=2000)
    folds = GroupKFold(min(FOLDS, len(set(documents.tolist()))))
    held_out = cross_val_predict(model, vectors, has_skill, groups=documents, cv=folds, method="predict_proba")[:, 1]
    model.fit(vectors, has_skill)
    least = float(np.quantile(held_out[has_skill], 1 - RECALL))
    return Gate(model.coef_[0].astype(np.float32), float(model.intercept_[0]), least)


def auroc(scores: NDArray[Any], positive: NDArray[np.bool_]) -> float:
    """Chance that a positive scores above a negative, ties counting half."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(positive, scores))


def false_positives_at_recall(scores: NDArray[Any], positive: NDArray[np.bool_], recall: float = RECALL) -> float:
    """Share of negatives that score at least as much as the cut-off that keeps `recall` of the positives."""
    ordered = np.sort(scores[positive])[::-1]
    cutoff = ordered[int(np.ceil(recall * len(ordered))) - 1]
    return float(np.mean(scores[~positive] >= cutoff))


def read_validation(files: Sequence[Path]) -> list[GoldSentence]:
    """Sentences of benchmark files, those that ask for nothing in the taxonomy too; none that a test file holds."""
    sentences = []
    for file in files:
        data = read_validation_file(file)
        sentences += [*data.queries, *(GoldSentence(sentence, ()) for sentence in data.without_skill)]
    return sentences


def test_sentences(files: Sequence[Path]) -> set[str]:
    """Keys of all sentences in the test files beside the validation files: SkillSpan holds some of them too."""
    tests = {test for file in files for test in test_files_in(file.parent)}
    return {text_key(sentence) for test in tests for sentence in read_benchmark_file(test).sentences}


def measure(scores: dict[str, NDArray[Any]], data: LabelledSentences) -> dict[str, dict[str, dict[str, float]]]:
    """AUROC and false positives at 95% recall of each score, for all sentences and for those over three tokens."""
    slices = {"all": np.ones(len(data.tokens), dtype=bool), "over_3_tokens": data.tokens > SHORT_TOKENS}
    return {
        name: {
            kind: {
                "sentences": int(chosen.sum()),
                "with_skill": int(data.has_skill[chosen].sum()),
                "auroc": auroc(values[chosen], data.has_skill[chosen]),
                "false_positives_at_95_recall": false_positives_at_recall(values[chosen], data.has_skill[chosen]),
            }
            for kind, values in scores.items()
        }
        for name, chosen in slices.items()
    }


def roc_points(scores: NDArray[Any], positive: NDArray[np.bool_], points: int = 41) -> list[list[float]]:
    """[false-positive rate, recall] pairs at evenly spaced recalls: the curve that README draws."""
    ordered = np.sort(scores[positive])
    recalls = np.linspace(0.0, 1.0, points)
    cuts = np.quantile(ordered, 1 - recalls)
    negatives = scores[~positive]
    rates = [float(np.mean(negatives >= cut)) for cut in cuts]
    return [[round(rate, 4), round(float(recall), 4)] for rate, recall in zip(rates, recalls, strict=True)]


def calibrate(
    finder: SkillFinder, train: Path, dev: Path, validation: Sequence[Path]
) -> tuple[Settings, dict[str, Any]]:
    """Choose gate and threshold, and measure both on dev."""
    tests = test_sentences(validation)
    of_train, of_dev = read_skillspan(train, tests), read_skillspan(dev, tests)
    # Every threshold that is tried asks for the same vectors.
    finder.reader = RememberingReader(finder.reader)
    train_vectors = np.stack([one.vector for one in finder.reader.read(list(of_train.sentences))])
    dev_vectors = np.stack([one.vector for one in finder.reader.read(list(of_dev.sentences))])
    gate = fit_gate(train_vectors, of_train.has_skill, of_train.documents)
    finder.settings = Settings(gate=gate)
    sentences = read_validation(validation)
    choice, best = choose_threshold(finder, sentences) if sentences else [Choice(Settings().threshold)] * 2
    by_threshold = list(qualities(finder, sentences, Settings(gate=gate, agreement=choice.agreement)))
    nearest = np.concatenate([(part @ finder.index.vectors.T).max(axis=1) for part in np.array_split(dev_vectors, 16)])
    chances = gate.probabilities(dev_vectors)
    settings = Settings(choice.threshold, CALIBRATED_ON, gate, choice.agreement)
    finder.settings = settings
    found = np.array([bool(matches) for matches in finder.find_skills_batch(of_dev.sentences, narrow=False)])
    results = {
        "taxonomy": finder.index.taxonomy,
        "skills": len(finder.index.skills),
        "gate_least": gate.least,
        "validation": {
            "sentences": len(sentences),
            **asdict(choice),
            "best": asdict(best),
            "by_threshold": [asdict(one) for one in by_threshold] if sentences else [],
        },
        "dev": measure({"nearest_skill_cosine": nearest, "gate": chances}, of_dev),
        "curve": {
            "nearest_skill_cosine": roc_points(nearest, of_dev.has_skill),
            "gate": roc_points(chances, of_dev.has_skill),
        },
        "whole_system_on_dev": {
            "sentences_with_skill_that_give_some": float(found[of_dev.has_skill].mean()),
            "sentences_without_skill_that_give_some": float(found[~of_dev.has_skill].mean()),
        },
    }
    return settings, results


def calibrate_names(
    finder: SkillFinder, settings: Settings, validation: Sequence[Path]
) -> tuple[Settings, dict[str, Any]]:
    """Choose threshold and weight of shared words for skills encoded by their names too, as an own list's are.

    Args:
        finder: one whose label index was made of more than names.
        settings: what was chosen for its index; the gate is taken from there.
        validation: benchmark files, one at least with a sentence.
    """
    index = encode_skills(list(finder.index.skills), finder.encoder, finder.index.taxonomy)
    by_names = finder.with_skills(index)
    by_names.reader = RememberingReader(by_names.reader)
    by_names.settings = Settings(gate=settings.gate)
    choice, best = choose_threshold(by_names, read_validation(validation))
    return replace(settings, names=(choice.threshold, choice.agreement)), {**asdict(choice), "best": asdict(best)}


def settings_json(settings: Settings) -> str:
    """The text of skill_finder.json."""
    gate = settings.gate
    values: dict[str, Any] = {
        "format": 2,
        "threshold": settings.threshold,
        "agreement": settings.agreement,
        "calibrated_on": settings.calibrated_on,
    }
    if settings.names:
        values["names"] = {"threshold": settings.names[0], "agreement": settings.names[1]}
    if gate:
        weights = [round(float(weight), 5) for weight in gate.weights]
        values["gate"] = {"least": gate.least, "bias": gate.bias, "weights": weights}
    return json.dumps(values, indent=1) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Calibrate a model folder."""
    parser = argparse.ArgumentParser(prog="python -m space.calibrate", description="Calibrate a model.")
    parser.add_argument("model", type=Path, help="model folder with a label index; skill_finder.json is written here")
    parser.add_argument("--train", type=Path, required=True, help="SkillSpan train.json")
    parser.add_argument("--dev", type=Path, required=True, help="SkillSpan dev.json")
    parser.add_argument("--validation", type=Path, nargs="*", default=[], help="benchmark validation CSVs")
    parser.add_argument("--backend", choices=BACKENDS, default="auto")
    parser.add_argument("--out", type=Path, default=Path("results/rejection.json"))
    given = parser.parse_args(arguments)
    try:
        finder = SkillFinder.from_pretrained(given.model, given.backend)
    except SkillFinderError as error:
        raise StageError(str(error)) from None
    weights = finder.weights_sha256  # before the encoder is wrapped
    settings, results = calibrate(finder, given.train, given.dev, given.validation)
    if results["validation"]["sentences"] and "prototypes" in index_metadata(given.model):
        settings, results["names"] = calibrate_names(finder, settings, given.validation)
    write_atomically(given.model / "skill_finder.json", settings_json(settings))
    about = {
        "model": given.model.name,
        "backend": finder.backend,
        "weights_sha256": weights,
        "code_version": code_version(),
        "train_sha256": sha256_of_file(given.train),
        "dev_sha256": sha256_of_file(given.dev),
    }
    write_atomically(given.out, json.dumps({"schema_version": 1, **about, **results}, indent=2) + "\n")
    print(report(results))


def report(results: dict[str, Any]) -> str:
    """The measured figures as a Markdown table."""
    lines = [
        f"threshold {results['validation']['threshold']:.2f}, weight of shared words "
        f"{results['validation']['agreement']:.1f}, over {results['skills']:,} skills of {results['taxonomy']}",
        "",
        "| SkillSpan dev | score | AUROC | false positives at 95% recall |",
        "|---|---|---|---|",
    ]
    for name, kinds in results["dev"].items():
        for kind, value in kinds.items():
            lines.append(
                f"| {name.replace('_', ' ')} ({value['sentences']}) | {kind.replace('_', ' ')} "
                f"| {100 * value['auroc']:.1f} | {100 * value['false_positives_at_95_recall']:.1f}% |"
            )
    whole = results["whole_system_on_dev"]
    lines += [
        "",
        f"Of sentences that name a skill {100 * whole['sentences_with_skill_that_give_some']:.1f}% give one or more; "
        f"of those that name none, {100 * whole['sentences_without_skill_that_give_some']:.1f}%.",
    ]
    if names := results.get("names"):
        lines.append(
            f"For skills by their names alone: threshold {names['threshold']:.2f}, weight of shared words "
            f"{names['agreement']:.1f}."
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run_command(main))
