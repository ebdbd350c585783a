"""A SentenceTransformer folder or Hub id -> a system that ranks labels by cosine, with facts about the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.contract import StageError, sha256_of_file
from eval.ranking import CosineSystem, Floats
from eval.results import SystemInfo
from training.run_record import TrainingRecord

WEIGHT_FILES = ("model.safetensors", "0_Transformer/model.safetensors", "0_StaticEmbedding/model.safetensors")


@dataclass(frozen=True)
class EncoderOptions:
    """How a model is run. `weights_file` is the ONNX or OpenVINO file in the model folder, where it has several."""

    backend: str = "torch"
    weights_file: str = ""
    batch_size: int = 64
    device: str | None = None


class SentenceTransformerSystem(CosineSystem):
    """A bi-encoder by cosine; its own prompts and maximum length, fp32.

    Sentences are encoded as queries and labels as documents, which differs only for a model that has such prompts.
    """

    def __init__(self, name: str, model: Any, options: EncoderOptions) -> None:
        super().__init__(name, self._encode_sentences_of, self._encode_labels_of)
        self.model = model
        self._options = options

    def _encode_sentences_of(self, texts: list[str]) -> Floats:
        return self._encoded(self.model.encode_query, texts)

    def _encode_labels_of(self, texts: list[str]) -> Floats:
        return self._encoded(self.model.encode_document, texts)

    def _encoded(self, encode: Any, texts: list[str]) -> Floats:
        """One vector a text: (texts, d); a text that occurs several times is encoded once."""
        different = list(dict.fromkeys(texts))
        place = {text: number for number, text in enumerate(different)}
        vectors = encode(
            different,
            batch_size=self._options.batch_size,
            show_progress_bar=len(different) > 2_000,
            convert_to_numpy=True,
        )
        return np.asarray(vectors, dtype=np.float32)[[place[text] for text in texts]]


def open_model(spec: str, options: EncoderOptions) -> Any:
    """The SentenceTransformer of a folder or Hub id[@revision], ready to encode.

    Raises:
        StageError: not there, not a model, or its backend is not installed.
    """
    from sentence_transformers import SentenceTransformer

    place, revision = place_and_revision(spec)
    folder = Path(place)
    if folder.exists() and not any((folder / name).is_file() for name in ("modules.json", "config.json")):
        raise StageError(f"{place} is not a model folder: it holds no modules.json", "Give the folder that train wrote")
    if not folder.exists() and place.count("/") != 1:
        raise StageError(f"{place} does not exist", "Give a model folder, a Hub id, or the name of a baseline")
    arguments: dict[str, Any] = {"dtype": "float32"} if options.backend == "torch" else {}
    if options.weights_file:
        arguments["file_name"] = options.weights_file
    try:
        model = SentenceTransformer(
            place, revision=revision, backend=options.backend, device=options.device, model_kwargs=arguments
        )
    except (OSError, ValueError, ImportError, RuntimeError, KeyError) as error:
        raise StageError(f"the model {spec} cannot be opened ({error})", "Is the folder whole?") from error
    return model.eval()


def describe_model(spec: str, model: Any, options: EncoderOptions, name: str, kind: str) -> SystemInfo:
    """Facts about a model: hash of its weights, revision, the record of its training where there is one."""
    place, revision = place_and_revision(spec)
    folder = Path(place)
    weights = _file_of(place, revision, _weight_names(options))
    record_file = _file_of(place, revision, [TrainingRecord.FILE_NAME])
    record = TrainingRecord.load(record_file) if record_file else None
    return SystemInfo(
        name=name,
        kind=kind,
        source=folder.name if folder.exists() else place,
        revision=revision if folder.exists() or not weights else _commit_of(weights),
        weights_sha256=sha256_of_file(weights) if weights else None,
        training_record_sha256=sha256_of_file(record_file) if record_file else None,
        dataset=record.dataset.id if record else None,
        dataset_version=record.dataset.version if record else None,
        model_version=record.version if record else None,
        settings={
            "backend": options.backend,
            "weights_file": options.weights_file or (weights.name if weights else ""),
            "max_sequence_length": str(model.max_seq_length),
            "precision": "float32" if options.backend == "torch" else "as exported",
            "score": "cosine" if kind == "sentence-transformer" else kind,
        },
    )


def place_and_revision(spec: str) -> tuple[str, str | None]:
    """Folder or Hub id, and the revision after `@` where there is one."""
    if Path(spec).exists():
        return str(Path(spec).resolve()), None
    place, _, revision = spec.partition("@")
    return place, revision or None


def _weight_names(options: EncoderOptions) -> Sequence[str]:
    if options.backend == "torch":
        return WEIGHT_FILES
    default = "onnx/model.onnx" if options.backend == "onnx" else "openvino/openvino_model.bin"
    given = options.weights_file
    return [given, f"{options.backend}/{given}"] if given else [default]


def _file_of(place: str, revision: str | None, names: Sequence[str]) -> Path | None:
    """The first of some files that the model folder, or the cache of the Hub, holds."""
    from huggingface_hub import try_to_load_from_cache

    for name in names:
        if Path(place).exists():
            found: Any = Path(place) / name
        else:
            found = try_to_load_from_cache(place, name, revision=revision)
        if isinstance(found, str | Path) and Path(found).is_file():
            return Path(found)
    return None


def _commit_of(cached: Path) -> str | None:
    """The commit in a cached file's path, .../snapshots/COMMIT/file."""
    parts = cached.parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts else None
