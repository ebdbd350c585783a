"""The int8 form of a release, as git keeps it -> the same model with torch weights, to train on or to encode with.

    python -m training.read_back model_card/releases/v4.1.0 artifacts/model/read_back

The weights are those of 8 bits, written out: as good as the int8 file, and not the ones that it was made from.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.utils.logging import disable_progress_bar

from dataset_builder.contract import StageError, run_command
from training.base_model import open_encoder
from training.onnx_files import BLOCKS, FOLDER, INT8_FILES, OnnxEncoder

PREFIX = "transformer."
LEFT_OUT = ("*.onnx", "label_index", "results", "README.md", "skill_finder.json", "speed.json", "exports.json")
PROBES = ("develop data models in SQL", "You plan the tests of our web services, in a team.", "bake bread")
LEAST_COSINE = 0.999
REMEDY = "Is it an export of training.export?"


def main(arguments: Sequence[str] | None = None) -> None:
    """Read back and say where."""
    given = _parser().parse_args(arguments)
    disable_progress_bar()
    read_back(Path(given.release), Path(given.out))
    print(f"{given.out}: torch weights of {given.release}, in 32 bits; texts get the same vectors")


def read_back(release: Path, out: Path) -> None:
    """Write a sentence-transformers folder with the weights of a release's int8 file, and the training record.

    Raises:
        StageError: no such release, a folder that is there already, or weights that do not give the same vectors.
    """
    from transformers import AutoConfig, AutoModel

    file = release / FOLDER / INT8_FILES[BLOCKS]
    if not file.is_file():
        raise StageError(f"{release} holds no {FOLDER}/{INT8_FILES[BLOCKS]}", "Give a folder of model_card/releases")
    if out.exists():
        raise StageError(f"{out} exists", "Remove it, or give another folder")
    weights = weights_of(file)
    try:
        shutil.copytree(release, out, ignore=shutil.ignore_patterns(*LEFT_OUT))
        model = AutoModel.from_config(AutoConfig.from_pretrained(release))
        try:
            missing, unknown = model.load_state_dict(weights, strict=False)
        except RuntimeError as error:
            raise StageError(f"{file} holds other weights ({str(error).splitlines()[-1].strip()})", REMEDY) from None
        wrong = [name for name in missing if not name.startswith("pooler.")] + list(unknown)
        if wrong:
            raise StageError(f"{file} lacks or adds the weights {', '.join(wrong[:3])}", REMEDY)
        for name in missing:  # no vector goes through the pooler; drawn at random, no two folders would be equal
            model.get_parameter(name).data.zero_()
        model.save_pretrained(out)
        (out / FOLDER).rmdir()
        _need_the_same(open_encoder(out).eval(), file)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise


def weights_of(file: Path) -> dict[str, torch.Tensor]:
    """The transformer's weights by their torch names, float32, from a file that was quantised by blocks.

    A matrix has lost its name; its bias, which is added to what it gives, has not.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(file).graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found = {
        name.removeprefix(PREFIX): torch.tensor(array)
        for name, array in tensors.items()
        if name.startswith(PREFIX) and array.dtype == np.float32
    }
    added = {place: other for node in graph.node if node.op_type == "Add" for place, other in _both_ways(node.input)}
    for node in graph.node:
        if node.op_type == "MatMulNBits":
            bias = added.get(node.output[0], "")
            name = bias.removeprefix(PREFIX).removesuffix("bias") + "weight"
            found[name] = torch.tensor(_matrix(*(tensors[place] for place in node.input[1:4])))
    for steps in (name for name in tensors if name.endswith("_steps")):
        table = steps.removesuffix("_steps")
        whole = tensors[steps] * tensors[f"{table}_scales"].astype(np.float32)
        whole += tensors[f"{table}_least"].astype(np.float32)
        found[table.removeprefix(PREFIX)] = torch.tensor(whole.reshape(len(whole), -1))
    return found


def _both_ways(pair: Sequence[str]) -> tuple[tuple[str, str], tuple[str, str]]:
    return (pair[0], pair[1]), (pair[1], pair[0])


def _matrix(steps: np.ndarray, scales: np.ndarray, zeros: np.ndarray) -> np.ndarray:
    """(out, blocks, numbers) uint8, and a scale and a zero a block -> (out, in) float32."""
    blocks = steps.shape[:2]
    values = steps.astype(np.float32) - zeros.reshape(*blocks, 1).astype(np.float32)
    matrix: np.ndarray = (values * scales.reshape(*blocks, 1)).reshape(blocks[0], -1)
    return matrix


def _need_the_same(encoder: Any, file: Path) -> None:
    from_file, own = (
        np.asarray(one.encode(list(PROBES), normalize_embeddings=True)) for one in (OnnxEncoder(encoder, file), encoder)
    )
    least = float((from_file * own).sum(axis=1).min())
    if least < LEAST_COSINE:
        raise StageError(
            f"{file} gives other vectors than its weights (cosine {least:.3f})", "Is it an export of ours?"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.read_back", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("release", metavar="RELEASE_DIR", help="such as model_card/releases/v4.1.0")
    parser.add_argument("out", metavar="DIR", help="where the folder with torch weights goes")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


if __name__ == "__main__":
    sys.exit(run_command(main))
