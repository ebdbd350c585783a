"""An encoder -> ONNX files named as sentence-transformers names them, and an encoder that runs them.

sentence-transformers 6 exports through `optimum`, whose newest release needs transformers below 5; torch's own exporter
and onnxruntime's quantisers do the same without it.
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
from training.base_model import need_mean_pooling

FOLDER = "onnx"
OPSET = 18
BATCH = 64
BLOCKS = "blocks"
BLOCK_SIZE = 16
# onnxruntime's accuracy level. Its 4, activations in 8 bits, is a seventh faster at most and ranks less alike.
FLOAT_ACTIVATIONS = 1
LARGE_TABLE = 1024  # rows
TINY = 6e-8  # the least positive number of 16 bits
# Kind of processor -> (file, signed weights, one bit less so that AVX2's 16-bit sums cannot overflow).
_BY_PROCESSOR = {
    "avx512_vnni": ("model_qint8_avx512_vnni.onnx", True, False),
    "avx512": ("model_qint8_avx512.onnx", True, False),
    "avx2": ("model_quint8_avx2.onnx", False, True),
    "arm64": ("model_qint8_arm64.onnx", True, False),
}
INT8_FILES = {BLOCKS: "model_quint8_blocks.onnx", **{kind: name for kind, (name, *_) in _BY_PROCESSOR.items()}}


def export_onnx(encoder: Any, folder: Path) -> Path:
    """Write onnx/model.onnx: input_ids, attention_mask (and token_type_ids) -> last_hidden_state.

    Raises:
        StageError: the encoder has no transformer, or cannot be exported.
    """
    transformer = getattr(encoder[0], "auto_model", None)
    if transformer is None:
        raise StageError("this model has no transformer to export", "Static models need no ONNX: they are a table")
    need_mean_pooling(encoder)
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


def quantise(path: Path, kind: str = BLOCKS) -> Path:
    """Write the int8 form of an ONNX file beside it.

    "blocks" runs on every processor: every 16 weights have a scale of their own, and so has the table of tokens;
    activations stay floats. Its vectors are much nearer to the unquantised ones than those of the other forms, which
    have one scale a column of weights and one for all activations, and are named as sentence-transformers names them.
    It needs onnxruntime.

    Raises:
        StageError: an unknown kind.
    """
    if kind not in INT8_FILES:
        raise StageError(f"no int8 form for {kind!r}", f"Known: {', '.join(INT8_FILES)}")
    out = path.with_name(INT8_FILES[kind])
    with _quiet():
        if kind == BLOCKS:
            _quantise_by_blocks(path, out)
        else:
            _quantise_by_columns(path, out, kind)
    return out


def _quantise_by_blocks(path: Path, out: Path) -> None:
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

    how = DefaultWeightOnlyQuantConfig(
        block_size=BLOCK_SIZE, is_symmetric=False, accuracy_level=FLOAT_ACTIVATIONS, bits=8
    )
    quantiser = MatMulNBitsQuantizer(onnx.load(path), algo_config=how)
    quantiser.process()
    model = quantiser.model.model
    _quantise_tables(model.graph)
    onnx.save(model, out)


def _quantise_tables(graph: Any) -> None:
    """Store each large table that rows are taken from as 8 bits a number, with a scale and a least value a block.

    One scale a row would move rankings more than all matrices together: a token's vector has a few large numbers.
    """
    from onnx import TensorProto, helper, numpy_helper

    tables = {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        table = tables.get(node.input[0]) if node.op_type == "Gather" else None
        if table is None or len(table.dims) != 2 or table.dims[0] < LARGE_TABLE or table.data_type != TensorProto.FLOAT:
            nodes.append(node)
            continue
        values, (rows, found) = numpy_helper.to_array(table), (node.input[1], node.output[0])
        stored = dict(zip(("steps", "scales", "least"), _in_blocks(values), strict=True))
        graph.initializer.remove(table)
        graph.initializer.append(numpy_helper.from_array(np.array([0, 0, values.shape[1]]), f"{table.name}_shape"))
        for name, array in stored.items():
            graph.initializer.append(numpy_helper.from_array(array, f"{table.name}_{name}"))
            nodes.append(helper.make_node("Gather", [f"{table.name}_{name}", rows], [f"{found}_{name}"], axis=0))
            nodes.append(helper.make_node("Cast", [f"{found}_{name}"], [f"{found}_{name}_32"], to=TensorProto.FLOAT))
        nodes += [
            helper.make_node("Mul", [f"{found}_steps_32", f"{found}_scales_32"], [f"{found}_scaled"]),
            helper.make_node("Add", [f"{found}_scaled", f"{found}_least_32"], [f"{found}_blocks"]),
            helper.make_node("Reshape", [f"{found}_blocks", f"{table.name}_shape"], [found]),
        ]
    del graph.node[:]
    graph.node.extend(nodes)


def _in_blocks(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rows, numbers) -> steps above the least of each block, size of a step, and the least: (rows, blocks, ...).

    A last block that is not full does not occur: rows whose length is no multiple are one block.
    """
    rows, width = values.shape
    blocks = values.reshape(rows, -1, BLOCK_SIZE if width % BLOCK_SIZE == 0 else width)
    least = blocks.min(axis=2, keepdims=True).astype(np.float16)
    # Rounded to 16 bits first, so that steps are counted with what is stored.
    scales = np.maximum((blocks.max(axis=2, keepdims=True) - least) / 255, TINY).astype(np.float16)
    steps = np.clip(np.rint((blocks - least) / scales), 0, 255).astype(np.uint8)
    return steps, scales, least


def _quantise_by_columns(path: Path, out: Path, kind: str) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    _, signed, reduce_range = _BY_PROCESSOR[kind]
    quantize_dynamic(
        str(path),
        str(out),
        weight_type=QuantType.QInt8 if signed else QuantType.QUInt8,
        reduce_range=reduce_range,
        # With one scale a matrix, rankings change far more than with one a column.
        per_channel=True,
        # The exporter leaves shapes as symbols that the quantiser's own inference stumbles over.
        extra_options={"DefaultTensorType": 1},
    )


class OnnxEncoder:
    """Runs an ONNX file with a model folder's tokenizer and the mean over tokens that the export has made sure of."""

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

    def encode(
        self,
        texts: Sequence[str],
        output_value: str | None = "sentence_embedding",
        batch_size: int = BATCH,
        normalize_embeddings: bool = False,
        convert_to_tensor: bool = False,
        **options: Any,
    ) -> Any:
        """Vectors of texts, (texts, dimensions); with `output_value` None one dict a text, as the library gives it."""
        found: dict[int, dict[str, Tensor]] = {}
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        for start in range(0, len(order), batch_size):
            places = order[start : start + batch_size]
            tokens = self._encoder.preprocess([texts[place] for place in places])
            hidden = self._session.run(None, {name: tokens[name].numpy() for name in self._names})[0]
            for place, row, mask in zip(places, torch.from_numpy(hidden), tokens["attention_mask"], strict=True):
                real = row[mask.bool()]
                ones = torch.ones(len(real), dtype=mask.dtype)
                found[place] = {
                    "token_embeddings": real,
                    "attention_mask": ones,
                    "sentence_embedding": real.mean(dim=0),
                }
        outputs = [found[place] for place in range(len(texts))]
        if output_value is None:
            return outputs
        vectors = torch.stack([output["sentence_embedding"] for output in outputs])
        vectors = nn.functional.normalize(vectors, dim=1) if normalize_embeddings else vectors
        return vectors if convert_to_tensor else vectors.numpy()


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
