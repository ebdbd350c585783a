r"""Write the card and the label index of a trained model into its folder.

    python -m model_card.build MODEL_DIR --results results/model.json results/baseline.json \
        --dataset artifacts/dataset/0.1.0 --esco ESCO_ZIP_OR_FOLDER_OR_VERSION

The results must hold at least one file of this very model; the others are the systems that the card compares it with.
A second run keeps the label index where weights and labels are the same. A model that puts prompts before its texts is
refused: the index and the extractor use none. Ends with README.md, which is written last.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from tqdm import tqdm

from dataset_builder.contract import StageError, run_command, write_atomically
from dataset_builder.esco import EscoRelease, read_esco
from dataset_builder.hub import MODEL_REPO
from dataset_builder.hub_files import refuse_secrets
from model_card.facts import gather_facts
from model_card.front_matter import hub_eval_results
from model_card.label_index import Encoder, LabelIndex, build_label_index, weight_files
from model_card.onnx_encoder import OnnxEncoder, cores_here, refuse_other_pooling
from model_card.render import render_card
from training.run_record import TrainingRecord

EVAL_RESULTS_FILE = ".eval_results/skill_extraction.yaml"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m model_card.build",
        description="Write README.md and the label index of a trained model into its folder.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL_DIR", help="folder that training wrote")
    parser.add_argument(
        "--results", type=Path, nargs="+", required=True, metavar="FILE", help="results of this model and of others"
    )
    parser.add_argument("--dataset", type=Path, required=True, metavar="DIR", help="dataset folder it was trained on")
    parser.add_argument(
        "--esco", nargs="+", required=True, metavar="ESCO", help="ESCO zips, folders or a version: the skills to rank"
    )
    parser.add_argument("--language", default="en", help="language of the labels (default: en)")
    parser.add_argument("--repo-id", default="", help=f"name on the Hub used in the card (usually .../{MODEL_REPO})")
    parser.add_argument("--licence", default="apache-2.0", help="licence of the weights (default: apache-2.0)")
    parser.add_argument(
        "--eval-results",
        action="store_true",
        help=f"write {EVAL_RESULTS_FILE} too: the Hub takes it for benchmarks that are registered there",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    options = parse(arguments)
    record = TrainingRecord.load(options.model)
    release = read_esco(options.esco, options.language)
    index = make_index(options.model, release, record)
    facts = gather_facts(options.model, options.results, options.dataset)
    card = render_card(facts, options.repo_id, options.licence)
    refuse_secrets(f"the card of {options.model}", card.encode("utf-8"))
    for_hub = hub_eval_results(facts) if options.eval_results else ""
    if for_hub:
        write_atomically(options.model / EVAL_RESULTS_FILE, for_hub)
    else:  # of an earlier build, whose numbers are no longer the card's
        (options.model / EVAL_RESULTS_FILE).unlink(missing_ok=True)
    write_atomically(options.model / "README.md", card)
    systems = len(facts.own) + len(facts.others)
    print(f"{options.model}: README.md with the results of {systems} runs, label index of {len(index.labels):,} skills")


def make_index(model_dir: Path, release: EscoRelease, record: TrainingRecord) -> LabelIndex:
    """Build the label index with a progress bar, or keep the one that fits."""
    with tqdm(total=len(release.skills), desc="Encoding labels", unit="label", disable=None, leave=False) as bar:
        return build_label_index(
            release, lambda: open_model(model_dir), model_dir, record.name, bar.update, record.by_tokens
        )


def open_model(model_dir: Path) -> Encoder:
    """The model of a folder: by its torch weights, or by the ONNX file of a folder that has none.

    Raises:
        StageError: it does not open, or has ONNX files alone and pools otherwise than by the mean.
    """
    weights = sorted(weight_files(model_dir))
    if all(path.endswith(".onnx") for path in weights):
        refuse_other_pooling(model_dir)
        return OnnxEncoder(model_dir, weights[0], cores_here())
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        model = SentenceTransformer(str(model_dir), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # each library raises its own for a damaged file
        raise StageError(f"{model_dir} does not open as a SentenceTransformer ({error})") from None
    return cast(Encoder, model)


if __name__ == "__main__":
    sys.exit(run_command(main))
