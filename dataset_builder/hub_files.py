"""A folder -> the files of it that go to the Hub, with their hashes; what must not go is left out or refused.

Left out: hidden files, checkpoints, caches, and every kind of file that is not known to be data or text. Refused: a
pickle under any name, and anything that looks like a token.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickletools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dataset_builder.contract import StageError, sha256_of_file
from dataset_builder.hub import NAMESPACE
from dataset_builder.schema import DatasetManifest

PUBLISHED_SUFFIXES = frozenset(
    {".md", ".json", ".yaml", ".txt", ".csv", ".py", ".parquet", ".safetensors", ".onnx", ".model", ".png", ".svg"}
    | {".css", ".js"}
)
_WITH_NAMES = frozenset({".md", ".py"})
# A line break or another character that JSON and Python write as an escape ends in a word character there.
_ESCAPES = rb"(?<=\\[abfnrtv])|(?<=\\x[0-9a-f]{2})|(?<=\\u[0-9a-f]{4})"
_SECRETS = re.compile(rb"(?:\b|" + _ESCAPES + rb")(?:hf_[A-Za-z0-9]{20,}|sk-(?=[\w-]*\d)[\w-]{20,})")
_SECRET_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "OPENAI_API_KEY")
# First bytes of a pickle, and of a zip: torch.save writes a zip with a pickle in it.
# numpy's files may hold one too, and gzip hides anything.
_PICKLE_HEADS = (*(bytes([0x80, protocol]) for protocol in range(2, 6)), b"PK\x03\x04", b"\x93NUMPY", b"\x1f\x8b")
_LONGEST_TEXT_PICKLE = 1_000_000
_SHORTEST_SECRET = 8
# What a page reads to know its model where no variable names one.
MODEL_FILE = "model.txt"
# Hidden, and yet for the Hub: it reads evaluation results there.
_HUB_FOLDER = ".eval_results/"
# Where training keeps the weights of its steps and seeds.
_CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class HubFile:
    """A file as it will lie on the Hub. `content`: where its bytes are, or the bytes where they were changed."""

    path: str
    content: Path | bytes
    size: int
    sha256: str
    git_sha1: str

    def read(self) -> bytes:
        """The whole content."""
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()


@dataclass(frozen=True)
class HubFiles:
    """What goes to the Hub, by path, and what was left out."""

    files: tuple[HubFile, ...]
    left_out: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def collect_files(
    folder: str | Path,
    namespace: str,
    only: Iterable[str] | None = None,
    tag: str = "",
    extra: str = "",
    renamed: Mapping[str, str] | None = None,
) -> HubFiles:
    """List a folder's publishable files; Markdown and Python name `namespace` where they said NAMESPACE.

    Args:
        folder: what a stage wrote.
        namespace: user or organisation that publishes.
        only: relative paths to take; everything publishable where None.
        tag: what they name where they said TAG; "" leaves it.
        extra: text of one file more, MODEL_FILE; "" adds none.
        renamed: names of repositories, as they say them, that are published under other names.

    Raises:
        StageError: no such folder, no README.md, a pickle, or something that looks like a token.
    """
    root = Path(folder)
    if not root.is_dir():
        raise StageError(f"{root} is not a folder", "Give a folder that a stage wrote")
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    if only is not None:
        wanted = set(only)
        missing = wanted - set(names)
        if missing:
            raise StageError(f"{root} has no {sorted(missing)[0]}")
        names = sorted(wanted)
    taken = [name for name in names if _is_publishable(name)]
    if "README.md" not in taken:
        raise StageError(f"{root} has no README.md", "Write its card first: the Hub shows it as the front page")
    # A whole name alone: another repository's may begin with it.
    end = r"(?![\w-]|\.\w)"
    said = {rf"{NAMESPACE}/{re.escape(one)}{end}": f"{namespace}/{name}" for one, name in (renamed or {}).items()}
    said |= {f"{NAMESPACE}/": f"{namespace}/"} | ({"@TAG": f"@{tag}", '"TAG"': f'"{tag}"'} if tag else {})
    files = tuple(_read_file(root / name, name, said) for name in taken)
    if extra:
        files += (_in_memory(MODEL_FILE, extra.encode("utf-8")),)
    return HubFiles(files, tuple(name for name in names if name not in taken and not _is_hidden(name)))


def check_dataset(folder: str | Path) -> DatasetManifest:
    """The manifest of a dataset folder whose files are those that it lists.

    Raises:
        StageError: no manifest, or a file that is missing or was changed since.
    """
    manifest = DatasetManifest.load(folder)
    for file in manifest.files:
        path = Path(folder, file.path)
        if not path.is_file() or sha256_of_file(path) != file.sha256:
            raise StageError(f"{path} is not the file that manifest.json lists", "Build the dataset again")
    return manifest


def refuse_secrets(name: str, content: bytes) -> None:
    """Raise StageError when content holds something that looks like a token, without repeating it.

    Raises:
        StageError: names the file and the kind of token.
    """
    found = _SECRETS.search(content)
    known = [
        variable
        for variable in _SECRET_VARIABLES
        if len(value := os.environ.get(variable, "")) >= _SHORTEST_SECRET and value.encode() in content
    ]
    if found or known:
        kind = f"the value of {known[0]}" if known else f"a token ({found[0][:3].decode()}...)" if found else ""
        raise StageError(f"{name} holds what looks like {kind}", "Remove it, and revoke it if it is real")


def git_sha1(content: bytes) -> str:
    """The name that git gives to a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _is_hidden(name: str) -> bool:
    parts = name.removeprefix(_HUB_FOLDER).split("/")
    return parts[0] == _CHECKPOINTS or any(part.startswith((".", "__pycache__", "checkpoint-")) for part in parts)


def _is_publishable(name: str) -> bool:
    return not _is_hidden(name) and Path(name).suffix in PUBLISHED_SUFFIXES


def _in_memory(name: str, content: bytes) -> HubFile:
    return HubFile(name, content, len(content), hashlib.sha256(content).hexdigest(), git_sha1(content))


def _read_file(path: Path, name: str, said: Mapping[str, str]) -> HubFile:
    content = path.read_bytes()
    if _is_pickle(content):
        raise StageError(f"{path} is a pickle", "Save it as safetensors, ONNX, Parquet or JSON")
    refuse_secrets(str(path), content)
    if path.suffix == ".parquet":
        _refuse_secrets_in_table(path)
    if path.suffix in _WITH_NAMES:
        named = content
        for placeholder, meant in said.items():
            named = re.sub(placeholder.encode(), meant.encode(), named)
        if named != content:
            return _in_memory(name, named)
    return HubFile(name, path, len(content), sha256_of_file(path), git_sha1(content))


def _is_pickle(content: bytes) -> bool:
    if content.startswith(_PICKLE_HEADS):
        return True
    # The oldest protocols are text without a head of their own: such a file is one whole program that ends in a stop.
    if not content.endswith(b".") or len(content) > _LONGEST_TEXT_PICKLE:
        return False
    try:
        pickletools.dis(content, out=io.StringIO())
    except (ValueError, IndexError, KeyError, TypeError, UnicodeError, OverflowError):
        return False
    return True


def _refuse_secrets_in_table(path: Path) -> None:
    """Parquet is compressed, so its text is looked at column by column."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        source = parquet.ParquetFile(path)
        for batch in source.iter_batches():
            for column in batch.columns:
                # Whatever the type: lists, structs and dictionaries print what they hold.
                refuse_secrets(str(path), repr(column.to_pylist()).encode())
    except pa.ArrowInvalid as error:
        raise StageError(f"{path} is not a Parquet file ({error})", "Write it again") from None
