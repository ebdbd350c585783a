"""An ONNX file of a model folder -> vectors of texts, with the folder's tokenizer and the mean over tokens."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dataset_builder.contract import StageError

BATCH_SIZE = 32
MAX_TOKENS = 128


def cores_here() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def refuse_other_pooling(folder: Path) -> None:
    """ONNX files are read with the mean over tokens; a model that pools otherwise would be read wrongly.

    Raises:
        StageError: this one does.
    """
    for path in folder.glob("*_Pooling/config.json"):
        try:
            settings = dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise StageError(f"{path} is damaged ({error})", "Put back the file that training wrote") from None
        wrong = [
            name for name, value in settings.items()
            if value is True and name.startswith("pooling_mode_") and name != "pooling_mode_mean_tokens"
        ]  # fmt: skip
        if wrong or settings.get("pooling_mode", "mean") not in ("mean", ["mean"]):
            raise StageError(f"{path} pools otherwise than by the mean over tokens", "Take its torch weights instead")


class OnnxEncoder:
    """Tokenises, runs and takes the mean over tokens, of at most 128 tokens a text.

    Args:
        folder: a model folder.
        weights_file: of the ONNX file, relative to the folder.
        cores: threads of the runtime.

    Raises:
        StageError: onnxruntime is missing, or a file cannot be opened.
    """

    def __init__(self, folder: Path, weights_file: str, cores: int) -> None:
        try:
            import onnxruntime
            from tokenizers import Tokenizer
        except ImportError:
            raise StageError(f"{weights_file} needs onnxruntime", "pip install onnxruntime") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = cores
        path = str(folder / weights_file)
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the libraries' errors share no base class below Exception
            raise StageError(f"{path} cannot be opened ({error})", "Is the folder whole?") from None
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()
        self._tokenizer.enable_padding()
        self._wanted = {given.name for given in self._session.get_inputs()}

    def encode(self, sentences: list[str]) -> npt.NDArray[np.float32]:
        """Vectors of texts, (texts, dimensions), in their order."""
        order = sorted(range(len(sentences)), key=lambda place: len(sentences[place]))
        rows = []
        for start in range(0, len(order), BATCH_SIZE):
            batch = self._tokenizer.encode_batch([sentences[place] for place in order[start : start + BATCH_SIZE]])
            mask = np.array([one.attention_mask for one in batch])
            inputs: dict[str, Any] = {
                "input_ids": np.array([one.ids for one in batch]),
                "attention_mask": mask,
                "token_type_ids": np.array([one.type_ids for one in batch]),
            }
            hidden = self._session.run(None, {name: value for name, value in inputs.items() if name in self._wanted})[0]
            rows.append((hidden * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True))
        found: npt.NDArray[np.float32] = np.concatenate(rows)[np.argsort(order)]
        return found
