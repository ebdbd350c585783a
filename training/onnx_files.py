"""An encoder -> ONNX files named as sentence-transformers names them, and an encoder that runs them.

sentence-transformers 6 exports through `optimum`, whose newest release needs transformers below 5; torch's own exporter
and onnxruntime's quantiser do the same without it.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dataset_builder.contract import StageError

FOLDER = "onnx"
OPSET = 18
BATCH = 64
# Kind of processor -> (file, signed weights, one bit less so that AVX2's 16-bit sums cannot overflow).
INT8_FILES = {
    "avx512_vnni": ("model_qint8_avx512_vnni.onnx", True, False),
    "avx512": ("model_qint8_avx512.onnx", True, False),
    "avx2": ("model_quint8_avx2.onnx", False, True),
    "arm64": ("model_qint8_arm64.onnx", True, False),
}


def export_onnx(encoder: Any, folder: Path) -> Path:
    """Write onnx/model.onnx: input_ids, attention_mask (and token_type_ids) -> last_hidden_state.

    Raises:
        StageError: the encoder has no transformer, or cannot be exported.
    """
    transformer = getattr(encoder[0], "auto_model", None)
    if transformer is None:
        raise StageError("this model has no transformer to export", "Static models need no ONNX: they are a table")
    path = folder / FOLDER / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    tokens = encoder.preprocess(["a sentence", "and a longer one"])
    names = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in tokens]
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    try:
        with _quiet():
            torch.onnx.export(
                _HiddenState(transformer, names).eval(),
                tuple(tokens[name] for name in names),
                str(path),
                input_names=names,
                output_names=["last_hidden_state"],
                dynamic_shapes={"inputs": tuple(axes for _ in names)},
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
            )
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise StageError(f"the encoder cannot be exported to ONNX ({type(error).__name__}: {reason})") from error
    return path


def quantise(path: Path, kind: str) -> Path:
    """Write the int8 form of an ONNX file beside it: weights int8, activations quantised as they come.

    Raises:
        StageError: an unknown kind of processor.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    if kind not in INT8_FILES:
        raise StageError(f"no int8 form for {kind!r}", f"Known: {', '.join(INT8_FILES)}")
    name, signed, reduce_range = INT8_FILES[kind]
    weight_type = QuantType.QInt8 if signed else QuantType.QUInt8
    with _quiet():
        quantize_dynamic(
            str(path),
            str(path.with_name(name)),
            weight_type=weight_type,
            reduce_range=reduce_range,
            # With one scale a matrix, rankings change far more than with one a column.
            per_channel=True,
            # The exporter leaves shapes as symbols that the quantiser's own inference stumbles over.
            extra_options={"DefaultTensorType": 1},
        )
    return path.with_name(name)


class OnnxEncoder:
    """Runs an ONNX file with a model folder's tokenizer and pooling: mean over tokens, as training left it."""

    training = False

    def __init__(self, encoder: Any, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._names = [entry.name for entry in self._session.get_inputs()]
        self._encoder = encoder

    def eval(self) -> OnnxEncoder:
        """Nothing to do: this is how the evaluator speaks to an encoder."""
        return self

    def train(self, mode: bool = True) -> OnnxEncoder:
        """Nothing to do."""
        return self

    def encode(self, texts: Sequence[str], **options: Any) -> np.ndarray:
        """Vectors of texts: (texts, dimensions), L2-normalised."""
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        rows: list[np.ndarray] = []
        for start in range(0, len(order), BATCH):
            tokens = self._encoder.preprocess([texts[place] for place in order[start : start + BATCH]])
            hidden = self._session.run(None, {name: tokens[name].numpy() for name in self._names})[0]
            mask = tokens["attention_mask"].numpy()[:, :, None]
            pooled = (hidden * mask).sum(axis=1) / mask.sum(axis=1)
            rows.extend(pooled / np.linalg.norm(pooled, axis=1, keepdims=True))
        vectors = np.empty((len(texts), len(rows[0])), dtype=np.float32)
        vectors[order] = np.stack(rows)
        return vectors


class _HiddenState(nn.Module):  # type: ignore[misc]
    """A transformer with positional inputs and its last hidden state as only output."""

    def __init__(self, transformer: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.transformer = transformer
        self.names = tuple(names)

    def forward(self, *inputs: Tensor) -> Tensor:
        hidden: Tensor = self.transformer(**dict(zip(self.names, inputs, strict=True))).last_hidden_state
        return hidden


@contextlib.contextmanager
def _quiet() -> Any:
    """Keep exporters' chatter away."""
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
