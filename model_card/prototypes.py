r"""Make a trained model's label index anew: each skill's vector takes in its other names and sentences that ask for it.

    python -m model_card.prototypes MODEL_DIR --esco ESCO_ZIP_OR_FOLDER_OR_VERSION --dataset DATASET_DIR

Ranking goes by one vector a skill, its name's, and a name of two words says less than ESCO's alternative labels and
sentences that ask for the skill. Here a skill's vector is its prototype, after the class means of Snell et al. 2017
(arXiv 1703.05175, section 2.2), with the name's part the largest. The weights of the model stay as they are, and so
does what it costs to use; its version is the dataset's from then on. `model_card.build`, `space.calibrate`,
`eval.score_model` and the extractor take the index as it lies; measure and calibrate again after it was made. With
--labelled the vectors are then moved towards labelled sentences, the dataset's among them (`model_card.label_fit`).
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as parquet
from tqdm import tqdm

from dataset_builder.contract import StageError, run_command
from dataset_builder.esco import EscoRelease, read_esco
from dataset_builder.schema import PAIRS_FILES, SENTENCE, SKILLS, DatasetManifest
from dataset_builder.seeded import stable_number
from model_card.build import open_model
from model_card.dataset_rows import sha256_of_rows
from model_card.facts import FINDER_FILE
from model_card.label_fit import FitSettings, fit_labels
from model_card.label_index import Encoder, encode_labels, refuse_prompts, write_label_index
from model_card.labelled_texts import LabelledTexts, read_labelled
from model_card.prototype_facts import Fit, Prototypes
from training.run_record import TrainingRecord

# Chosen for release 4.1.0 on validation and SkillSkape's development sentences; see README.md beside this file.
WEIGHT, PER_SKILL, TOKEN_SHARE, FITTED_TOKEN_SHARE = 0.3, 4, 0.3, 0.5
_ENCODE_AT_ONCE = 4096

Texts = dict[str, list[str]]
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Encoded:
    """Texts of labels as vectors. `rows`: (texts,) of each text's label; `units`: (texts, dimensions), of length 1."""

    rows: npt.NDArray[np.int64]
    units: Vectors


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    given = _parser().parse_args(arguments)
    _check(given)
    record = TrainingRecord.load(given.model)
    release = read_esco(given.esco, given.language)
    manifest = DatasetManifest.load(given.dataset)
    refuse_prompts(given.model)
    others = other_names(release) if given.alternative_labels else {}
    sentences = _of_these(sentences_of(given.dataset, given.per_skill), release) if given.sentences else {}
    labelled = read_labelled(given.labelled, release.labels, given.benchmarks) if given.labelled else None
    encoder = open_model(given.model)
    total = len(release.labels) + sum(len(texts) for one in (others, sentences) for texts in one.values())
    with tqdm(total=total, desc="Encoding texts", unit="text", disable=None, leave=False) as bar:
        names, lengths = encode_labels(encoder, release.labels, bar.update)
        of_others, of_sentences = (encoded(encoder, release.labels, one, bar.update) for one in (others, sentences))
    parts = [(given.alternative_labels, of_others), (given.sentences, of_sentences)]
    vectors = with_means(release.labels, names.astype(np.float32), parts)
    prototypes = Prototypes(
        alternative_labels=given.alternative_labels,
        sentences=given.sentences,
        per_skill=given.per_skill,
        dataset=manifest.name,
        dataset_version=manifest.version,
        rows_sha256=sha256_of_rows(given.dataset),
    )
    if labelled:
        settings = FitSettings(epochs=given.epochs, near=given.near, seed=given.seed)
        vectors = moved(encoder, vectors, of_sentences, labelled, settings)
        counts = {"sentences": len(of_sentences.rows), "labelled": len(labelled.texts)}
        prototypes = replace(prototypes, fit=Fit(**counts, files=labelled.files, **asdict(settings)))
    share = given.token_share or (FITTED_TOKEN_SHARE if labelled else TOKEN_SHARE)
    kept, share_kept = (lengths, share) if record.by_tokens else (None, None)
    (given.model / FINDER_FILE).unlink(missing_ok=True)  # chosen for the vectors of before
    write_label_index(given.model, release, vectors.astype(np.float16), kept, record.name, prototypes, share_kept)
    print(f"{given.model}: {len(release.labels):,} skills, of their names, {_told(others)} and {_told(sentences)}")
    if labelled:
        left_out = ", ".join(f"{count:,} {why}" for why, count in labelled.left_out.items())
        print(f"Moved towards these sentences and {len(labelled.texts):,} labelled ones; left out: {left_out}")


def encoded(
    encoder: Encoder, labels: Sequence[str], texts: Texts, advance: Callable[[int], Any] = lambda _texts: None
) -> Encoded:
    """Encode texts by label; `advance` is called with the number of texts done, for a progress bar."""
    rows = [row for row, label in enumerate(labels) for _ in texts.get(label, ())]
    flat = [text for label in labels for text in texts.get(label, ())]
    return Encoded(np.array(rows, dtype=np.int64), _encode(encoder, flat, advance))


def with_means(labels: Sequence[str], names: Vectors, parts: Sequence[tuple[float, Encoded]]) -> Vectors:
    """Unit vectors of prototypes: u(u(n) + sum over parts of w * mean of u(t) over the part's texts t of the skill).

    Here u(x) = x / |x| and n is a name's vector; a part without a text of the skill adds nothing.

    Args:
        labels: the label space.
        names: (labels, dimensions), of length 1.
        parts: weight, and texts of labels.

    Returns:
        (labels, dimensions).

    Raises:
        StageError: what is added leaves a label without a direction.
    """
    total = names.copy()
    for weight, texts in parts:
        if not weight or not len(texts.rows):
            continue
        sums = np.zeros_like(names)
        np.add.at(sums, texts.rows, texts.units)
        counts = np.bincount(texts.rows, minlength=len(labels)).astype(np.float32)
        total += np.float32(weight) * sums / np.maximum(counts, 1)[:, None]
    lengths = np.linalg.norm(total, axis=1)
    wrong = np.flatnonzero(~(lengths > 1e-6))
    if wrong.size:
        raise StageError(f"the prototype of {labels[wrong[0]]!r} has no direction", "Give smaller weights")
    prototypes: Vectors = total / lengths[:, None]
    return prototypes


def moved(
    encoder: Encoder, vectors: Vectors, sentences: Encoded, labelled: LabelledTexts, settings: FitSettings
) -> Vectors:
    """Label vectors after `fit_labels` over a dataset's sentences and labelled ones: (labels, dimensions), length 1."""
    with tqdm(total=len(labelled.texts), desc="Encoding sentences", unit="text", disable=None, leave=False) as bar:
        units = _encode(encoder, labelled.texts, bar.update)
    texts = np.concatenate([sentences.units, units]) if len(sentences.rows) else units
    gold = [(int(row),) for row in sentences.rows] + labelled.gold
    with tqdm(total=settings.epochs * len(gold), desc="Moving labels", unit="text", disable=None, leave=False) as bar:
        return fit_labels(vectors, texts, gold, settings, bar.update)


def other_names(release: EscoRelease) -> Texts:
    """Alternative labels by label; of several skills with one label, those of all."""
    found: Texts = defaultdict(list)
    for skill in release.skills:
        found[skill.label] += skill.alternative_labels
    return found


def sentences_of(dataset: str | Path, per_skill: int) -> Texts:
    """At most so many sentences a label, of a dataset folder's training rows that ask for one skill.

    Which ones hangs on their text alone.

    Raises:
        StageError: the folder has no such rows.
    """
    path = Path(dataset) / PAIRS_FILES["train"]
    try:
        table = parquet.read_table(path, columns=[SENTENCE, SKILLS])
    except (OSError, pa.ArrowException) as error:
        raise StageError(f"{path} cannot be read ({' '.join(str(error).split())})", "Give a dataset folder") from None
    found: Texts = defaultdict(list)
    for sentence, skills in zip(table[SENTENCE].to_pylist(), table[SKILLS].to_pylist(), strict=True):
        if len(skills) == 1:
            found[skills[0]].append(sentence)
    return {label: sorted(texts, key=stable_number)[:per_skill] for label, texts in found.items()}


def _of_these(sentences: Texts, release: EscoRelease) -> Texts:
    """Those of the skills to rank.

    Raises:
        StageError: there are none.
    """
    found = {label: sentences[label] for label in release.labels if label in sentences}
    if not found:
        raise StageError("no skill of the dataset is among those to rank", "Give their dataset, or --sentences 0")
    return found


def _encode(encoder: Encoder, texts: Sequence[str], advance: Callable[[int], Any]) -> Vectors:
    """Vectors of length 1, (texts, dimensions); (0, 0) of none.

    Raises:
        StageError: one is not a number.
    """
    parts = [np.zeros((0, 0), np.float32)]
    for start in range(0, len(texts), _ENCODE_AT_ONCE):
        batch = list(texts[start : start + _ENCODE_AT_ONCE])
        vectors = np.asarray(encoder.encode(batch), np.float32)
        wrong = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if wrong.size:
            raise StageError(f"the model gives no usable vector for {batch[wrong[0]][:60]!r}")
        parts.append(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))
        advance(len(batch))
    return np.concatenate(parts[1:] or parts)


def _told(texts: Texts) -> str:
    return f"{sum(map(len, texts.values())):,} texts for {sum(map(bool, texts.values())):,} of them"


def _check(given: argparse.Namespace) -> None:
    for name in ("alternative_labels", "sentences"):
        value = getattr(given, name)
        if not 0 <= value < math.inf:
            raise StageError(f"--{name.replace('_', '-')} must be a number from 0 on, got {value}")
    if given.per_skill < 1:
        raise StageError(f"--per-skill must be 1 or more, got {given.per_skill}")
    if given.token_share is not None and not 0 < given.token_share <= 1:
        raise StageError(f"--token-share must be above 0 and at most 1, got {given.token_share}")
    if not 0 < given.near <= 1:
        raise StageError(f"--near must be a cosine above 0, got {given.near}")
    if given.seed < 0:
        raise StageError(f"--seed must be 0 or more, got {given.seed}")
    if given.epochs < 1:
        raise StageError(f"--epochs must be 1 or more, got {given.epochs}")
    if given.labelled and not given.benchmarks:
        raise StageError("--labelled without --benchmarks", "Give the folder of benchmark CSVs, to keep them out")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m model_card.prototypes", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL_DIR", help="trained model; without torch weights its ONNX file encodes")
    add("--esco", nargs="+", required=True, metavar="ESCO", help="ESCO zips, folders or a version: the skills to rank")
    add("--dataset", type=Path, required=True, metavar="DIR", help="dataset folder whose sentences are taken")
    add("--language", default="en", help="language of the labels (default: en)")
    weight = "weight of their mean, beside 1 for the name"
    add("--alternative-labels", type=float, default=WEIGHT, metavar="W", help=f"{weight} (default: {WEIGHT})")
    add("--sentences", type=float, default=WEIGHT, metavar="W", help=f"{weight} (default: {WEIGHT})")
    add("--per-skill", type=int, default=PER_SKILL, metavar="N", help=f"sentences a skill (default: {PER_SKILL})")
    share = "of the token-level score in what ranks, for a model that was trained for it"
    which = f"{TOKEN_SHARE}, and {FITTED_TOKEN_SHARE} with --labelled"
    add("--token-share", type=float, metavar="S", help=f"{share} (default: {which})")
    what = "CSVs of sentences under their skills' labels, or Hub ids, towards which labels are moved then"
    add("--labelled", nargs="+", default=[], metavar="CSV_OR_HUB_ID", help=what)
    add("--benchmarks", type=Path, metavar="DIR", help="benchmark CSVs; labelled texts that give one away are left out")
    near = "labels nearer than this cosine to a sentence's own do not count against it"
    add("--near", type=float, default=FitSettings.near, metavar="C", help=f"{near} (default: %(default)s)")
    add("--epochs", type=int, default=FitSettings.epochs, metavar="N", help="times (default: %(default)s)")
    add("--seed", type=int, default=FitSettings.seed, metavar="N", help="of their order (default: %(default)s)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


if __name__ == "__main__":
    sys.exit(run_command(main))
