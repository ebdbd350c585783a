"""A model folder -> an encoder: torch, torch in bfloat16, ONNX or ONNX int8.

ONNX models run on onnxruntime and tokenizers alone, so the page starts without loading torch.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from narrowing import EncodeTokens, TokenVectors
from pooling import mean_of_tokens, pools_first_token
from skill_index import INDEX_FILE, SkillFinderError, Vectors, index_metadata, normalised, whole
from token_batches import EncodeSpans, SpanBatch, TokenBatch, batches_by_length, read_spans

Backend = Literal["auto", "torch", "torch-bf16", "onnx", "onnx-int8"]
BACKENDS: tuple[Backend, ...] = ("auto", "torch", "torch-bf16", "onnx", "onnx-int8")
# Of torch: a static model keeps its own in a folder.
WEIGHT_FILES = ("model.safetensors", "0_Transformer/model.safetensors", "0_StaticEmbedding/model.safetensors")
BATCH = 32
# Passages have at most 400 characters; longer input is an own taxonomy's description, cut here.
MAX_TOKENS = 128
TOKEN_SHARES = {"token_match": 1.0, "token_and_cosine": 0.7}


@dataclass(frozen=True)
class LoadedEncoder:
    """An encoder with the weight file it runs on. `encode` gives (sentences, dimensions), L2-normalised float32.

    `encode_tokens` gives the vectors of each text's tokens; None where the model has none. `encode_spans` is there for
    a model that was trained to be scored by them: texts -> batches of their vectors, not normalised, and their tokens'.
    Its `token_share` is that of the token-level score, the rest being plain cosine.
    """

    encode: Callable[[list[str]], Vectors]
    backend: str
    weight_file: Path
    encode_tokens: EncodeTokens | None = None
    encode_spans: EncodeSpans | None = None
    token_share: float = 1.0


def load_encoder(folder: Path, backend: Backend = "auto") -> LoadedEncoder:
    """Load the model in `folder`.

    Args:
        folder: a sentence-transformers folder, with ONNX exports under onnx/ or torch weights or both.
        backend: "auto" takes int8, then ONNX, then torch, whichever is there and can run. "torch-bf16" multiplies in
            bfloat16, which is faster where the processor does so by itself (AVX512-BF16, AMX, a GPU) and slower where
            not; the third digit of a score may differ, so nothing takes it unasked.

    Raises:
        SkillFinderError: not a model folder, no weights for that backend, a file that is cut off, or modules or
            a pooling that are not read here.
    """
    if backend not in BACKENDS:
        raise SkillFinderError(f"no backend {backend!r}; there are {', '.join(BACKENDS)}")
    if not folder.is_dir():
        raise SkillFinderError(f"{folder} is not a folder")
    has_onnxruntime = importlib.util.find_spec("onnxruntime") is not None
    candidates: dict[str, Path | None] = {
        "onnx-int8": _int8_file(folder) if has_onnxruntime else None,
        "onnx": _existing(folder / "onnx" / "model.onnx") if has_onnxruntime else None,
        "torch": next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None),
    }
    names = list(candidates) if backend == "auto" else [backend]
    candidates["torch-bf16"] = candidates["torch"]
    share = token_share_of(folder)
    for name in names:
        weight_file = candidates[name]
        if weight_file:
            if name.startswith("torch"):
                encoder: TorchEncoder | OnnxEncoder = TorchEncoder(folder, bf16=name == "torch-bf16")
            else:
                encoder = OnnxEncoder(folder, weight_file)
            return LoadedEncoder(
                encode=encoder.encode,
                backend=name,
                weight_file=weight_file,
                encode_tokens=encoder.encode_tokens if encoder.has_tokens else None,
                encode_spans=encoder.encode_spans if encoder.has_tokens and share else None,
                token_share=share or 1.0,
            )
    raise SkillFinderError(f"{folder} holds no weights for backend {backend!r}")


def token_share_of(folder: Path) -> float:
    """Share of the token-level score in what ranks: the label index's, where it was made for one, else that which the
    loss in the model's training record goes with; 0 where it has none.

    Raises:
        SkillFinderError: the record is no JSON, as when only half of it was written, or the index is damaged.
    """
    of_index = index_metadata(folder).get("token_share")
    if of_index is not None:
        with whole(folder / INDEX_FILE):
            return float(of_index)
    file = folder / "training_record.json"
    if not file.is_file():
        return 0.0
    with whole(file):
        record = json.loads(file.read_text(encoding="utf-8"))
    try:
        return TOKEN_SHARES.get(record["recipe"]["stages"][-1]["loss"]["name"], 0.0)
    except (LookupError, TypeError):
        return 0.0


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None


def _int8_file(folder: Path) -> Path | None:
    """The quantised export by blocks, which suits any processor; else the one for this processor, or the first."""
    files = sorted(
        path for path in (folder / "onnx").glob("model*.onnx") if "int8" in path.name or "uint8" in path.name
    )
    wanted = "arm64" if platform.machine() in ("arm64", "aarch64") else _x86_kind()
    by_name = [path for name in ("blocks", wanted) for path in files if name in path.name]
    return next(iter([*by_name, *files]), None)


def _x86_kind() -> str:
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return "avx2"
    return next((kind for kind in ("avx512_vnni", "avx512") if kind in flags), "avx2")


class TorchEncoder:
    """A sentence-transformers folder, a static model too; with `bf16`, matrices are multiplied in bfloat16."""

    def __init__(self, folder: Path, bf16: bool = False) -> None:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        logging.disable_progress_bar()
        with whole(folder):
            self._model = SentenceTransformer(str(folder), trust_remote_code=False, local_files_only=True)
        self._bf16 = bf16
        self._places: Any = None
        # A static model is a table of tokens that have never seen each other: no limit, and no evidence in its tokens.
        if not hasattr(self._model[0], "auto_model"):
            return
        self._model.max_seq_length = min(self._model.max_seq_length or MAX_TOKENS, MAX_TOKENS)
        tokenizer = getattr(self._model.tokenizer, "backend_tokenizer", None)
        if tokenizer is not None:
            # A copy: the model's own tokenizer changes its limits with every call, and other threads use it.
            self._places = type(tokenizer).from_str(tokenizer.to_str())
            self._places.enable_truncation(self._model.max_seq_length)
            self._places.no_padding()

    @property
    def has_tokens(self) -> bool:
        """Whether the model gives a vector a token, with its place in the text."""
        return self._places is not None

    def encode(self, sentences: list[str]) -> Vectors:
        """Vectors of `sentences`, shape (sentences, dimensions), L2-normalised float32."""
        if not sentences:
            return np.zeros((0, self._model.get_embedding_dimension() or 0), dtype=np.float32)
        with self._precision():
            vectors = self._model.encode(
                sentences, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False
            )
        return np.asarray(vectors, dtype=np.float32)

    def encode_tokens(self, texts: list[str]) -> list[TokenVectors]:
        """Vectors of the tokens of each text, with their places in it."""
        with self._precision():
            vectors = self._model.encode(
                texts, batch_size=BATCH, output_value="token_embeddings", show_progress_bar=False
            )
        return [
            TokenVectors(_as_array(of_text), *zip(*encoding.offsets, strict=True))
            for of_text, encoding in zip(vectors, self._places.encode_batch(texts), strict=True)
        ]

    def encode_spans(self, texts: list[str]) -> Iterator[SpanBatch]:
        """Vectors of texts and of their tokens, a batch after the other."""
        import torch

        # By batches of our own: `encode` sorts by characters, which pads more, and gives each token back by itself.
        def run(batch: TokenBatch) -> tuple[Vectors, Vectors]:
            features = {"input_ids": torch.from_numpy(batch.ids), "attention_mask": torch.from_numpy(batch.mask)}
            with torch.inference_mode(), self._precision():
                output = self._model({name: part.to(self._model.device) for name, part in features.items()})
            return _as_array(output["sentence_embedding"]), _as_array(output["token_embeddings"])

        return read_spans(texts, self._places.encode_batch_fast, self._model.tokenizer.pad_token_id or 0, run)

    def _precision(self) -> AbstractContextManager[Any]:
        import torch

        return torch.autocast(self._model.device.type, torch.bfloat16) if self._bf16 else nullcontext()


def _as_array(tensor: Any) -> Vectors:
    return np.asarray(tensor.float().cpu(), np.float32)


class OnnxEncoder:
    """A sentence-transformers ONNX export with its tokenizer; mean or first-token pooling as the folder says."""

    def __init__(self, folder: Path, weight_file: Path) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        tokenizer_file = folder / "tokenizer.json"
        if not tokenizer_file.is_file():
            raise SkillFinderError(f"{folder} holds no tokenizer.json")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
        options.log_severity_level = 3
        with whole(weight_file):
            self._session = onnxruntime.InferenceSession(weight_file, options, providers=["CPUExecutionProvider"])
        self._inputs = [entry.name for entry in self._session.get_inputs()]
        with whole(tokenizer_file):
            self._tokenizer = Tokenizer.from_file(str(tokenizer_file))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()
        self._padding_id = _padding_id(self._tokenizer)
        outputs = [entry.name for entry in self._session.get_outputs()]
        self._output = next((name for name in outputs if name == "sentence_embedding"), outputs[0])
        self._rank = len(self._session.get_outputs()[outputs.index(self._output)].shape)
        self._first_token = self.has_tokens and pools_first_token(folder)

    @property
    def has_tokens(self) -> bool:
        """Whether the graph gives a vector a token, rather than a sentence."""
        return self._rank == 3

    def encode(self, sentences: list[str]) -> Vectors:
        """Vectors of `sentences`, shape (sentences, dimensions), L2-normalised float32."""
        # The fast way leaves out the places of tokens.
        tokenise = self._tokenizer.encode_batch_fast
        found: dict[int, Vectors] = {}
        for batch in batches_by_length(sentences, tokenise, self._padding_id):
            found.update(zip(batch.numbers, normalised(self._pooled(self._run(batch), batch.mask)), strict=True))
        return np.stack([found[i] for i in range(len(sentences))]) if found else np.zeros((0, 0), dtype=np.float32)

    def encode_tokens(self, texts: list[str]) -> list[TokenVectors]:
        """Vectors of the tokens of each text, with their places in it."""
        found: dict[int, TokenVectors] = {}
        for batch in batches_by_length(texts, self._tokenizer.encode_batch, self._padding_id):
            for i, encoding, vectors in zip(batch.numbers, batch.encodings, self._run(batch), strict=True):
                starts, ends = zip(*encoding.offsets, strict=True)
                found[i] = TokenVectors(vectors[: len(starts)], starts, ends)
        return [found[i] for i in range(len(texts))]

    def encode_spans(self, texts: list[str]) -> Iterator[SpanBatch]:
        """Vectors of texts and of their tokens, a batch after the other."""

        def run(batch: TokenBatch) -> tuple[Vectors, Vectors]:
            output = self._run(batch)
            return self._pooled(output, batch.mask), output

        return read_spans(texts, self._tokenizer.encode_batch_fast, self._padding_id, run)

    def _run(self, batch: TokenBatch) -> Vectors:
        """Output of the graph: (texts, tokens, dimensions), or (texts, dimensions) where it pools by itself."""
        feeds: dict[str, Any] = {
            "input_ids": batch.ids,
            "attention_mask": batch.mask,
            "token_type_ids": np.zeros_like(batch.mask),
        }
        (output,) = self._session.run([self._output], {name: feeds[name] for name in self._inputs})
        return np.asarray(output, np.float32)

    def _pooled(self, output: Vectors, mask: Any) -> Vectors:
        if output.ndim == 2:
            return output
        return output[:, 0] if self._first_token else mean_of_tokens(output, mask)


def _padding_id(tokenizer: Any) -> int:
    for token in ("[PAD]", "<pad>"):
        found = tokenizer.token_to_id(token)
        if found is not None:
            return int(found)
    return 0
