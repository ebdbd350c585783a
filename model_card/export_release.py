r"""Write the release of a trained model: one int8 ONNX file with tokenizer, label index, records, results and card.

    python -m model_card.export_release artifacts/model/1.0.0 model_card/releases/v1.0.0 \
        --dataset dataset_builder/releases/v1.0.0 --results results/mine.json results/mine-int8.json results/stock.json

Small enough for git, so that a clone finds skills without a Hub. The model folder must have its exports
(`training.export`) and its card and label index (`model_card.build`); the results must hold some of the int8 file
(`eval.score_model MODEL_DIR --backend onnx --weights-file FILE`). The folder appears whole or not at all. Its tokenizer
cuts texts where the results of the int8 file were cut, whatever length training left in it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_builder.contract import StageError, run_command, write_atomically
from dataset_builder.hub import MODEL_REPO, NAMESPACE
from dataset_builder.hub_files import collect_files
from model_card.facts import FINDER_FILE, CardFacts, gather_facts, is_evaluation
from model_card.label_index import EMBEDDINGS_FILE
from model_card.onnx_encoder import refuse_other_pooling
from model_card.render import render_card
from model_card.skill_table import SKILLS_FILE
from model_card.speed import SpeedRecord
from training.export_record import ExportResults
from training.run_record import TrainingRecord

RESULTS_FOLDER = "results"
_MODULES = "modules.json"
_TOKENIZER = "tokenizer.json"
_WHICH = "Name one with --weights; model_quint8_blocks.onnx runs on every processor and is nearest to the model"
_REMEDY = "Put back the file that training wrote"
_NEEDED = (_MODULES, "config.json", _TOKENIZER, EMBEDDINGS_FILE, SKILLS_FILE, TrainingRecord.FILE_NAME)
_TAKEN_WHERE_THERE = (
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    FINDER_FILE,
    SpeedRecord.FILE_NAME,
    ExportResults.FILE_NAME,
)


@dataclass(frozen=True)
class Source:
    """What a release is made of. `weights`: the ONNX file relative to the folder; "" for the only int8 file."""

    folder: Path
    dataset: Path
    results: tuple[Path, ...]
    weights: str = ""
    repo_id: str = ""
    licence: str = "apache-2.0"


def export_release(source: Source, out: Path) -> CardFacts:
    """Write the release folder.

    Returns:
        What its card says.

    Raises:
        StageError: the model folder is not ready, a record contradicts another, or `out` is there already.
    """
    # Without a name it is the folder of the caller, which cannot be moved into place.
    if not out.name or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise StageError(f"{out} exists", "Remove it, or give another folder: a release is never written over")
    gather_facts(source.folder, source.results, source.dataset)
    weights = _chosen_weights(source)
    refuse_other_pooling(source.folder)
    # One name, so that what a killed run left is cleared by the next.
    building = out.with_name(f".{out.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    try:
        for name in (weights, *_files_to_take(source.folder)):
            _copy(source.folder / name, building / name)
        results = filter(is_evaluation, source.results)
        copies = [_copy(path, building / RESULTS_FOLDER / path.name) for path in results]
        facts = gather_facts(building, copies, source.dataset)
        _cut_as_measured(building, facts)
        write_atomically(building / "README.md", render_card(facts, source.repo_id, source.licence))
        collect_files(building, NAMESPACE)
        if out.exists():
            out.rmdir()
        building.rename(out)
        return facts
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _chosen_weights(source: Source) -> str:
    folder = source.folder
    found = sorted(path.relative_to(folder).as_posix() for path in folder.glob("onnx/*int8*.onnx"))
    found = [source.weights] if source.weights else found
    if not found:
        raise StageError(
            f"{folder} holds no int8 ONNX file", "Run `python -m training.export` and `python -m model_card.build`"
        )
    if len(found) > 1:
        raise StageError(f"{folder} holds {', '.join(found)}", _WHICH)
    if not (folder / found[0]).is_file() or not found[0].endswith(".onnx"):
        raise StageError(
            f"{folder} holds no ONNX file {found[0]}", "Name one as it lies there, such as onnx/model.onnx"
        )
    return found[0]


def _cut_as_measured(folder: Path, facts: CardFacts) -> None:
    """Training may leave its own, shorter length in tokenizer.json, which the card's lines take as it is."""
    from tokenizers import Tokenizer

    length = facts.main[0].system.settings.get("max_sequence_length", "")
    if not length.isdecimal():
        return
    path = str(folder / _TOKENIZER)
    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception as error:  # the library has no type of its own
        raise StageError(f"{_TOKENIZER} is damaged ({error})", _REMEDY) from None
    tokenizer.enable_truncation(int(length))
    tokenizer.save(path)


def _files_to_take(folder: Path) -> Iterator[str]:
    for name in _NEEDED:
        if not (folder / name).is_file():
            raise StageError(f"{folder} has no {name}", "Give a folder that training and model_card.build completed")
        yield name
    of_modules = [f"{module['path']}/config.json" for module in _read_json(folder / _MODULES) if module["path"]]
    yield from (name for name in (*_TAKEN_WHERE_THERE, *of_modules) if (folder / name).is_file())


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StageError(f"{path} is damaged ({error})", _REMEDY) from None


def _copy(source: Path, target: Path) -> Path:
    if target.exists():
        raise StageError(f"two files are named {target.name}", "Give results files different names")
    target.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(source, target))


def release_results(folder: Path) -> tuple[Path, ...]:
    """The results files that a release holds."""
    return tuple(sorted((folder / RESULTS_FOLDER).glob("*.json")))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m model_card.export_release",
        description="Write the int8 ONNX release of a trained model: small enough for git, whole enough to use.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL_DIR", help="folder that model_card.build completed")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write, such as model_card/releases/v1.0.0")
    parser.add_argument("--dataset", type=Path, required=True, metavar="DIR", help="dataset folder it was trained on")
    parser.add_argument(
        "--results", type=Path, nargs="+", required=True, metavar="FILE", help="results of the int8 file and of others"
    )
    parser.add_argument("--weights", default="", metavar="FILE", help="ONNX file (default: the only int8 one)")
    parser.add_argument("--repo-id", default="", help=f"name on the Hub used in the card (usually .../{MODEL_REPO})")
    parser.add_argument("--licence", default="apache-2.0", help="licence of the weights (default: apache-2.0)")
    given = parser.parse_args(arguments)
    results = tuple(given.results)
    source = Source(given.model, given.dataset, results, given.weights, given.repo_id, given.licence)
    facts = export_release(source, given.out)
    size = sum(path.stat().st_size for path in given.out.rglob("*") if path.is_file())
    made = f"{facts.onnx_only} of {facts.record.name} {facts.version}"
    sys.stdout.write(f"{given.out}: {made}, {size / 1e6:.1f} MB in all\n")


if __name__ == "__main__":
    sys.exit(run_command(main))
