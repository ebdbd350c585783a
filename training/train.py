"""Dataset folder -> model folder with training_record.json, written last.

One process on a CPU, one GPU, several GPUs:

    accelerate launch --config_file training/accelerate/cpu.yaml -m training.train \
        --recipe training/recipes/paper.yaml --dataset DIR_OR_HUB_ID[@REV] --base-model DIR_OR_HUB_ID --out DIR
    accelerate launch --config_file training/accelerate/one_gpu.yaml -m training.train ...
    accelerate launch --config_file training/accelerate/multi_gpu.yaml --num_processes 8 -m training.train ...

`--seeds 1 2 3` trains once a seed and leaves the mean of the weights, which depends less on luck.
The same command goes on from the last checkpoint after an interruption, and does nothing once the record is there.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import math
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from dataset_builder.contract import StageError, run_command
from training.recipe import Recipe, read_recipe


def main(arguments: Sequence[str] | None = None) -> None:
    """Train as the arguments say."""
    given = _parser().parse_args(arguments)
    recipe = _with_changes(read_recipe(given.recipe), given)
    base_model = given.base_model or recipe.base_model
    if not base_model:
        raise StageError(f"recipe {given.recipe} names no base_model", "Give --base-model DIR_OR_HUB_ID")
    _check_flags(recipe, given)
    _calm_libraries()
    # The libraries take seconds to import; a wrong recipe or flag is told before.
    from training.averaging import run_seeds
    from training.machine import is_out_of_memory
    from training.prepare import RunOptions
    from training.run import run_training

    options = RunOptions(
        dataset=given.dataset,
        base_model=base_model,
        out=Path(given.out),
        esco=tuple(given.esco or ()),
        skillskape=given.skillskape,
        pseudo_labels=given.pseudo_labels,
        sentences=given.sentences,
        validation=given.validation,
        metric=given.metric,
        name=given.name,
        version=given.version,
        max_steps=given.max_steps,
        watts=given.watts,
        threads=given.threads,
        keep_checkpoints=given.keep_checkpoints,
        command=list(arguments if arguments is not None else sys.argv[1:]),
    )
    try:
        if given.seeds:
            run_seeds(recipe, given.seeds, options)
        else:
            run_training(recipe, options)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise StageError(
            "out of memory beside the training steps, while embedding, measuring or saving",
            "Use a machine with more memory; what is finished is kept",
        ) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    needed = parser.add_argument_group("what every run needs")
    needed.add_argument("--recipe", required=True, metavar="YAML", help="one of training/recipes/, or your own")
    needed.add_argument(
        "--dataset", required=True, metavar="DIR_OR_HUB_ID[@REV]", help="with columns sentence and skill"
    )
    needed.add_argument("--out", required=True, metavar="DIR", help="where the model folder goes")
    needed.add_argument("--base-model", metavar="DIR_OR_HUB_ID[@REV]", help="in place of the recipe's base_model")
    more = parser.add_argument_group("more sources, where the recipe asks for them")
    more.add_argument("--esco", nargs="+", metavar="ZIP_OR_FOLDER_OR_VERSION", help="descriptions, alternative labels")
    more.add_argument("--skillskape", metavar="CSV_OR_HUB_ID", help="SkillSkape's training split")
    pseudo = "real sentences labelled by a teacher (training.pseudo_labels)"
    more.add_argument("--pseudo-labels", metavar="CSV", help=pseudo)
    more.add_argument("--sentences", metavar="TXT", help="one sentence a line (.gz too), for literal matches")
    watch = parser.add_argument_group("choosing the best checkpoint")
    watch.add_argument("--validation", metavar="DIR_OR_CSV", help="benchmarks' folder (*_validation.csv), or one CSV")
    watch.add_argument("--metric", metavar="DIR_OR_HUB_ID[@REV]", help="R-Precision@k; default eval/r_precision_at_k")
    other = parser.add_argument_group("others")
    seeds = other.add_mutually_exclusive_group()
    seeds.add_argument("--seed", type=int, help="in place of the recipe's")
    seeds.add_argument(
        "--seeds", type=int, nargs="+", metavar="N", help="train once a seed, keep the mean of the weights"
    )
    other.add_argument("--max-steps", type=int, metavar="N", help="stop stages of more than N steps there, for a trial")
    other.add_argument("--name", help="the model's name; default the output folder's")
    other.add_argument("--version", help="the model's version; default the dataset's")
    other.add_argument(
        "--watts", type=float, help="the machine's power, for an energy estimate where it has no counter"
    )
    other.add_argument("--threads", type=int, help="CPU threads a process; default all cores shared by the processes")
    other.add_argument("--keep-checkpoints", action="store_true", help="keep DIR/checkpoints once the run is done")
    other.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _with_changes(recipe: Recipe, given: argparse.Namespace) -> Recipe:
    """The recipe with what the command line changed; the record holds the outcome."""
    if given.seeds and (len(given.seeds) < 2 or len(set(given.seeds)) < len(given.seeds)):
        raise StageError(f"--seeds needs two or more different seeds, got {' '.join(map(str, given.seeds))}")
    for seed in given.seeds or ():
        dataclasses.replace(recipe, seed=seed)  # one that cannot be is told before the others are trained
    if given.seed is not None:
        recipe = dataclasses.replace(recipe, seed=given.seed)
    return recipe


def _check_flags(recipe: Recipe, given: argparse.Namespace) -> None:
    """Say what is missing or cannot be before anything is loaded."""
    if given.max_steps is not None and given.max_steps < 1:
        raise StageError(f"--max-steps must be at least 1, got {given.max_steps}")
    if given.watts is not None and not 0 <= given.watts < math.inf:
        raise StageError(f"--watts must be a number from 0 on, got {given.watts}")
    flags = {
        "descriptions": ("--esco ZIP_OR_FOLDER_OR_VERSION", given.esco),
        "alternative_labels": ("--esco ZIP_OR_FOLDER_OR_VERSION", given.esco),
        "literal_matches": ("--esco ZIP_OR_FOLDER_OR_VERSION and --sentences TXT", given.esco and given.sentences),
        "skill_lists": ("--esco with the zips of classification and relations", given.esco),
        "skillskape": ("--skillskape CSV_OR_HUB_ID", given.skillskape),
        "pseudo_labels": ("--pseudo-labels CSV", given.pseudo_labels),
    }
    wanted = {f"the source {source!r}": flag for source, flag in flags.items() if recipe.needs(source)}
    relations = ("--esco with the zips of classification and relations", given.esco)
    if any("linked" in stage.loss.mask for stage in recipe.stages):
        wanted["the mask 'linked'"] = relations
    if any(stage.negatives.kind == "hierarchy" and stage.negatives.count for stage in recipe.stages):
        wanted["negatives from the hierarchy"] = relations
    for what, (flag, value) in wanted.items():
        if not value:
            raise StageError(f"recipe {given.recipe} asks for {what}", f"Give {flag}")


def _calm_libraries() -> None:
    """Keep away what a user cannot act on."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"torch|transformers|accelerate")
    for name in ("sentence_transformers", "transformers", "accelerate", "datasets", "torch.distributed"):
        logging.getLogger(name).setLevel(logging.ERROR)


if __name__ == "__main__":
    sys.exit(run_command(main))
