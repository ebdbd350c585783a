"""A model folder -> its ONNX, int8 ONNX and static forms, each measured against the model itself.

    python -m training.export MODEL_DIR --int8 blocks avx512_vnni --static STATIC_DIR \
        --esco ESCO_ZIP --validation BENCHMARKS_DIR --out results/exports.json

ONNX files go into MODEL_DIR/onnx/ under the names that sentence-transformers reads.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from transformers.utils.logging import disable_progress_bar

from dataset_builder.contract import code_version, run_command, sha256_of_file
from dataset_builder.esco import read_esco
from training.base_model import need_weights, open_encoder, weight_files
from training.export_record import ExportedForm, ExportResults
from training.label_space import LabelSpace, label_space_of_esco
from training.machine import processor_name, usable_cores, use_threads
from training.onnx_files import BATCH, BLOCKS, INT8_FILES, OnnxEncoder, export_onnx, quantise
from training.run_record import TrainingRecord
from training.static_model import distil
from training.validation import DEFAULT_METRIC, SkillRanking, ValidationSet, load_metric, read_validation

SPEED_TEXTS = 512
SPEED_ROUNDS = 3


@dataclass(frozen=True)
class Measurement:
    """What every form is measured with: texts for its speed, and an encoder's RP@5 by validation set."""

    texts: list[str]
    rank: Callable[[Any], dict[str, float]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Export, measure and print a table."""
    given = _parser().parse_args(arguments)
    disable_progress_bar()
    use_threads(None)
    folder = Path(given.model)
    encoder = open_encoder(folder).eval().to("cpu")  # what is measured here runs there
    weights = need_weights(folder, given.model)
    labels = label_space_of_esco(read_esco(given.esco))
    validation = read_validation(given.validation) if given.validation else None
    record = folder / TrainingRecord.FILE_NAME
    share = TrainingRecord.load(record).token_share if record.is_file() else 0.0
    forms: list[tuple[str, Path, Any]] = [("torch", weights[0], encoder)]
    onnx = export_onnx(encoder, folder)
    forms.append(("onnx", onnx, OnnxEncoder(encoder, onnx)))
    for kind in given.int8:
        path = quantise(onnx, kind)
        forms.append((f"onnx int8 {kind}", path, OnnxEncoder(encoder, path)))
    if given.static:
        static = distil(encoder, given.static_dimensions)
        static.save_pretrained(given.static, create_model_card=False)
        forms.append(("static", weight_files(Path(given.static))[0], static))
    results = ExportResults(
        schema_version=ExportResults.SCHEMA_VERSION,
        model=folder.resolve().name,
        code_version=code_version(),
        processor=processor_name(),
        cpu_cores=usable_cores(),
        forms=[
            # A static model has no tokens that have seen each other.
            _measure(form, path, one, encoder, _rankings(labels, validation, 0.0 if form == "static" else share))
            for form, path, one in forms
        ],
    )
    if given.out:
        results.save(given.out)
    print(render(results))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.export", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("model", help="a trained model's folder")
    parser.add_argument("--esco", required=True, nargs="+", help="the label space to measure with")
    kinds = "int8 forms: blocks runs everywhere and is nearest to the model (default: %(default)s)"
    parser.add_argument("--int8", nargs="*", default=[BLOCKS], choices=tuple(INT8_FILES), help=kinds)
    parser.add_argument("--static", metavar="DIR", help="write a static model there too")
    parser.add_argument("--static-dimensions", type=int, default=256)
    parser.add_argument("--validation", metavar="DIR_OR_CSV", help="measure RP@5 on *_validation.csv")
    parser.add_argument("--out", metavar="JSON", help="results/exports.json")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _rankings(labels: LabelSpace, validation: ValidationSet | None, share: float) -> Measurement:
    """The texts that speed is measured with, and what gives RP@5 of the validation sets where there are some."""
    texts = list(labels.labels[:SPEED_TEXTS])
    if validation is None:
        return Measurement(texts, lambda one: {})
    return Measurement(texts, SkillRanking(validation, labels, load_metric(DEFAULT_METRIC), token_share=share))


def _measure(form: str, path: Path, one: Any, encoder: Any, measurement: Measurement) -> ExportedForm:
    texts = measurement.texts
    ours = np.asarray(one.encode(texts, normalize_embeddings=True, show_progress_bar=False))
    own = np.asarray(encoder.encode(texts, normalize_embeddings=True, show_progress_bar=False))
    values = measurement.rank(one)
    return ExportedForm(
        form=form,
        file=path.name,
        bytes=path.stat().st_size,
        sha256=sha256_of_file(path),
        texts_per_s=len(texts) / _median_seconds(one, texts),
        mean_cosine=float((ours * own).sum(axis=1).mean()) if ours.shape == own.shape else None,
        rp_at_5={name.removeprefix("rp@5_"): value for name, value in values.items()},
    )


def _median_seconds(encoder: Any, texts: list[str]) -> float:
    """Of some rounds; every form in batches of one size, or their speeds would not compare."""
    seconds = []
    for _ in range(SPEED_ROUNDS):
        start = time.perf_counter()
        encoder.encode(texts, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def render(results: ExportResults) -> str:
    """A Markdown table: one row a form."""
    sets = list(results.forms[0].rp_at_5)
    heads = ["Form", "File", "MB", "Labels/s", "Speed", "Mean cosine", *(f"RP@5 {name}" for name in sets)]
    first = results.forms[0]
    lines = ["| " + " | ".join(heads) + " |", "|---|---|" + "--:|" * (len(heads) - 2)]
    for form in results.forms:
        cosine = "" if form.mean_cosine is None else f"{form.mean_cosine:.4f}"
        cells = [form.form, form.file, f"{form.bytes / 1e6:.1f}", f"{form.texts_per_s:,.0f}"]
        cells += [f"{form.texts_per_s / first.texts_per_s:.2f}x", cosine]
        cells += [f"{100 * form.rp_at_5[name]:.2f}" for name in sets]
        lines.append("| " + " | ".join(cells) + " |")
    where = f"{platform.system()}, {results.processor}, {results.cpu_cores} cores"
    return "\n".join([*lines, "", f"{results.model}, {where}"])


if __name__ == "__main__":
    sys.exit(run_command(main))
