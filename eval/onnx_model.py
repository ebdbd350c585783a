"""A model folder with an ONNX export -> an encoder on onnxruntime and tokenizers alone.

sentence-transformers opens ONNX files through optimum; this reads the same folder without it: tokenizer.json, the
maximum length and pooling of the folder's own settings, and its query and document prompts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.contract import StageError
from eval.batches import encode_in_batches
from eval.ranking import Floats

DEFAULT_FILE = "onnx/model.onnx"
_POOLINGS = ("mean", "cls")


class OnnxModel:
    """An ONNX export with what the evaluation uses of a SentenceTransformer.

    Args:
        folder: a sentence-transformers folder.
        weights_file: of the ONNX file, relative to the folder or to its `onnx`; onnx/model.onnx when empty.

    Raises:
        StageError: no such file, no tokenizer, another module or pooling than is read here, or onnxruntime is missing.
    """

    default_file = DEFAULT_FILE

    def __init__(self, folder: Path, weights_file: str = "") -> None:
        from tokenizers import Tokenizer

        self.weights = exported_file(folder, weights_file or self.default_file)
        self.max_seq_length = _longest(folder)
        _check_modules(folder / "modules.json")
        self._pooling = _pooling(_settings(folder / "1_Pooling" / "config.json"))
        self._prompts = _settings(folder / "config_sentence_transformers.json").get("prompts") or {}
        if not (folder / "tokenizer.json").is_file():
            raise StageError(f"{folder} holds no tokenizer.json")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(self.max_seq_length)
        self._tokenizer.no_padding()
        self._pad = self._tokenizer.token_to_id("<pad>") or 0
        self._inputs, outputs = self._open()
        self._output = "sentence_embedding" if "sentence_embedding" in outputs else outputs[0]

    def _open(self) -> tuple[list[str], list[str]]:
        """Open the weights; names of the graph's inputs and outputs."""
        try:
            import onnxruntime
        except ImportError:
            raise StageError("onnxruntime is not installed", "pip install onnxruntime") from None
        try:
            self._session = onnxruntime.InferenceSession(str(self.weights), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors share no base class below Exception.
            raise StageError(f"{self.weights} cannot be opened ({error})", "Is the file whole?") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        return [entry.name for entry in inputs], [entry.name for entry in outputs]

    def _run(self, feeds: dict[str, Any]) -> Any:
        """The chosen output for a batch."""
        return self._session.run([self._output], feeds)[0]

    def encode_query(self, texts: Sequence[str], batch_size: int = 64) -> Floats:
        """Vectors of sentences: (texts, d) float32."""
        return self._encode(self._prompts.get("query", ""), texts, batch_size)

    def encode_document(self, texts: Sequence[str], batch_size: int = 64) -> Floats:
        """Vectors of labels: (texts, d) float32."""
        return self._encode(self._prompts.get("document", ""), texts, batch_size)

    def _encode(self, prompt: str, texts: Sequence[str], batch_size: int) -> Floats:
        encodings = self._tokenizer.encode_batch(list(texts))
        tokens = np.array([len(encoding.ids) for encoding in encodings], dtype=np.int64)
        return encode_in_batches(lambda some: self._batch([prompt + text for text in some]), texts, tokens, batch_size)

    def encode_tokens(self, texts: Sequence[str], batch_size: int = 64) -> list[Floats]:
        """Vectors of each sentence's tokens, marks included and padding not: one (tokens, d) float32 array a text.

        Raises:
            StageError: the export gives pooled vectors alone.
        """
        prompt, found = self._prompts.get("query", ""), []
        for start in range(0, len(texts), batch_size):
            output, mask = self._hidden([prompt + text for text in texts[start : start + batch_size]])
            if output.ndim == 2:
                raise StageError(f"{self.weights} gives one vector a text, not one a token", "Use --backend torch")
            found += [row[:length] for row, length in zip(output, mask.sum(axis=1).tolist(), strict=True)]
        return found

    def _batch(self, texts: list[str]) -> Floats:
        output, mask = self._hidden(texts)
        if output.ndim == 2:
            return output
        return np.asarray(output[:, 0] if self._pooling == "cls" else mean_of_tokens(output, mask), dtype=np.float32)

    def _hidden(self, texts: list[str]) -> tuple[Floats, Any]:
        """The graph's output for a batch, and its mask (texts, tokens)."""
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch(texts)]
        longest = max(map(len, ids))
        mask = np.array([[1] * len(one) + [0] * (longest - len(one)) for one in ids], dtype=np.int64)
        feeds = {
            "input_ids": np.array([one + [self._pad] * (longest - len(one)) for one in ids], dtype=np.int64),
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(mask),
        }
        return np.asarray(self._run({name: feeds[name] for name in self._inputs}), dtype=np.float32), mask


def mean_of_tokens(tokens: Floats, mask: Any) -> Floats:
    """Mean over real tokens: (texts, d) from (texts, tokens, d) and a mask of (texts, tokens)."""
    weights = mask[:, :, None].astype(np.float32)
    return np.asarray((tokens * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1), dtype=np.float32)


def exported_file(folder: Path, name: str) -> Path:
    """The exported file asked for, such as onnx/model.onnx, with or without its folder.

    Raises:
        StageError: the model folder does not hold it.
    """
    kind = "openvino" if name.endswith(".xml") else "onnx"
    for path in (folder / name, folder / kind / name):
        if path.is_file():
            return path
    files = folder.rglob("*.xml" if kind == "openvino" else "*.onnx")
    found = ", ".join(sorted(str(path.relative_to(folder)) for path in files)) or "none"
    raise StageError(
        f"{folder} holds no {name} ({kind.replace('onnx', 'ONNX')} files there: {found})",
        "Name one with --weights-file",
    )


def _check_modules(path: Path) -> None:
    modules = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    kinds = [module["type"].rpartition(".")[2] for module in modules]
    other = [kind for kind in kinds if kind not in ("Transformer", "Pooling", "Normalize")]
    if other:
        raise StageError(f"the module {other[0]} is not read from exports", "Use --backend torch")


def _settings(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except json.JSONDecodeError as error:
        raise StageError(f"{path} is not JSON ({error})") from None
    return content


def _longest(folder: Path) -> int:
    """Tokens that the model takes; folders of sentence-transformers 6 leave it to the tokenizer and the transformer."""
    given = _settings(folder / "sentence_bert_config.json").get("max_seq_length")
    limits = [_settings(folder / "tokenizer_config.json").get("model_max_length")]
    limits.append(_settings(folder / "config.json").get("max_position_embeddings"))
    return int(given or min((int(limit) for limit in limits if limit), default=512))


def _pooling(config: dict[str, Any]) -> str:
    """`mean` or `cls`, in the old and the new form of the setting; mean where nothing is said."""
    old = [key.removeprefix("pooling_mode_").split("_")[0] for key, value in config.items() if value is True]
    modes = config.get(
        "pooling_mode", [kind for kind in old if kind in (*_POOLINGS, "max", "weightedmean", "lasttoken")]
    )
    names = [modes] if isinstance(modes, str) else list(modes)
    if names and names not in (["mean"], ["cls"]):
        raise StageError(f"pooling by {', '.join(names)} is not read from exports", "Use --backend torch")
    return names[0] if names else "mean"
