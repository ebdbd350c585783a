"""A model folder's label index, or a list of skills and an encoder -> the skills and their vectors.

The index fits one set of weights and one list of labels; a reader refuses any other, since scores against the wrong
vectors look plausible and are not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

INDEX_FORMAT = "1"
INDEX_FILE = "label_index/label_embeddings.safetensors"
Vectors = NDArray[np.float32]


class SkillFinderError(ValueError):
    """Something about the model, the skills or the text that a person can mend."""


@contextmanager
def whole(path: Path) -> Iterator[None]:
    """Say of which file or folder it is that a library cannot open; what they raise has no common parent."""
    try:
        yield
    except SkillFinderError:
        raise
    except Exception as error:
        why = " ".join(str(error).split())[:200]
        raise SkillFinderError(f"{path} cannot be read; is all of it there? ({type(error).__name__}: {why})") from None


class Encoder(Protocol):
    """Anything that turns texts into vectors."""

    def encode(self, sentences: list[str]) -> Vectors:
        """Return one vector a sentence, shape (sentences, dimensions), float32."""


@dataclass(frozen=True)
class Skill:
    """One skill of a taxonomy. `group` is the name of its top-level group, "" when unknown."""

    uri: str
    label: str
    alternative_labels: tuple[str, ...] = ()
    type: str = ""
    broader_uris: tuple[str, ...] = ()
    group: str = ""
    description: str = ""


@dataclass(frozen=True)
class SkillIndex:
    """Skills in label order, which is also the order of ties, with their vectors.

    `vectors`: (skills, dimensions), L2-normalised float32. `taxonomy` names what they come from, e.g. "ESCO 1.1.0".
    `lengths`: (skills,), of the vectors before that, where the model scores token by token.
    """

    skills: tuple[Skill, ...]
    vectors: Vectors
    taxonomy: str
    lengths: Vectors | None = None
    position: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.skills) != len(self.vectors):
            raise SkillFinderError(f"{len(self.skills)} skills need as many vectors, got shape {self.vectors.shape}")
        object.__setattr__(self, "position", {skill.uri: i for i, skill in enumerate(self.skills)})


def read_index(model_folder: Path, weight_file: Path) -> SkillIndex:
    """Read `model_folder/label_index` for the weights in `weight_file`.

    Raises:
        SkillFinderError: a file is missing, or the index was made for other weights or other labels.
    """
    from safetensors import safe_open

    tensors, table = model_folder / INDEX_FILE, model_folder / "label_index" / "skills.parquet"
    for path in (tensors, table):
        if not path.is_file():
            raise SkillFinderError(f"{path} does not exist: the model folder has no label index")
    metadata = index_metadata(model_folder)
    with whole(tensors), safe_open(tensors, framework="numpy") as file:
        vectors = file.get_tensor("embeddings").astype(np.float32)
        lengths = file.get_tensor("lengths") if "lengths" in file.keys() else None
    if metadata.get("format") != INDEX_FORMAT:
        raise SkillFinderError(f"{tensors} has format {metadata.get('format')!r}; this code reads {INDEX_FORMAT!r}")
    _check_weights(metadata, model_folder, weight_file, tensors)
    skills = read_skill_table(table)
    if metadata.get("labels_sha256") != sha256_of_lines([skill.label for skill in skills]):
        raise SkillFinderError(f"{tensors} was made for other labels than those in {table}: make the index again")
    taxonomy = f"ESCO {metadata.get('esco_version', 'of unknown version')} ({metadata.get('esco_language', 'en')})"
    return SkillIndex(skills, vectors, taxonomy, lengths)


def index_metadata(model_folder: Path) -> dict[str, str]:
    """What the label index says of itself; nothing where there is none.

    Raises:
        SkillFinderError: it is damaged.
    """
    from safetensors import safe_open

    path = model_folder / INDEX_FILE
    if not path.is_file():
        return {}
    with whole(path), safe_open(path, framework="numpy") as file:
        return dict(file.metadata() or {})


def _check_weights(metadata: dict[str, str], folder: Path, weight_file: Path, tensors: Path) -> None:
    expected = json.loads(metadata.get("weights_sha256", "{}")).get(weight_file.relative_to(folder).as_posix())
    if expected != sha256_of_file(weight_file):
        raise SkillFinderError(f"{tensors} was made for other weights than {weight_file}: make the index again")


def read_skill_table(path: Path) -> tuple[Skill, ...]:
    """Read a Parquet table of skills: uri and label, and the other fields of `Skill` where it has them.

    `id` and `aliases` are taken as well; aliases are a list, or text as in a CSV.

    Raises:
        SkillFinderError: no Parquet file, a column is missing, or an id or label is empty or no text or number, or an
            id is there twice, or aliases or parents are neither text nor a list of it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path).to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise SkillFinderError(f"{path} cannot be read as a Parquet file ({error})") from None
    names = set(rows[0] if rows else {})
    missing = [name for name, other in (("uri", "id"), ("label", "label")) if not {name, other} & names]
    if missing:
        raise SkillFinderError(f"{path} has no column {missing[0]!r}")
    skills, seen = [], set()
    for number, row in enumerate(rows, start=1):
        skill = _skill_of(row, f"{path}, row {number}")
        if skill.uri in seen:
            raise SkillFinderError(f"{path}, row {number}: the id {skill.uri[:80]} is there twice")
        seen.add(skill.uri)
        skills.append(skill)
    return tuple(skills)


def _skill_of(row: dict[str, Any], where: str) -> Skill:
    uri, label = row["uri"] if "uri" in row else row["id"], row["label"]
    for name, value in (("id", uri), ("label", label)):
        if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
            raise SkillFinderError(f"{where}: the {name} is {value!r}, and must be text")
    aliases = "alternative_labels" if row.get("alternative_labels") else "aliases"
    return Skill(
        uri=str(uri).strip(),
        label=str(label).strip(),
        alternative_labels=_texts_of(row, aliases, where),
        type=str(row.get("type") or "").strip().removeprefix("skill/"),
        broader_uris=_texts_of(row, "broader_uris", where),
        group=str(row.get("group") or "").strip(),
        description=str(row.get("description") or "").strip(),
    )


def _texts_of(row: dict[str, Any], name: str, where: str) -> tuple[str, ...]:
    """The texts of a list, or of a cell as in a CSV, each once and without blank ones."""
    value = row.get(name)
    if value is None:
        return ()
    if isinstance(value, str):
        return aliases_of(value)
    if not isinstance(value, list) or not all(one is None or isinstance(one, str | int) for one in value):
        raise SkillFinderError(f"{where}: {name} is {str(value)[:80]}, and must be text or a list of it")
    return tuple(dict.fromkeys(text for one in value if one is not None and (text := str(one).strip())))


def aliases_of(cell: str) -> tuple[str, ...]:
    """Aliases are a line each, as in ESCO, or parted by | or ;."""
    mark = "\n" if "\n" in cell else "|" if "|" in cell else ";"
    return tuple(dict.fromkeys(alias.strip() for alias in cell.split(mark) if alias.strip()))


def normalised(vectors: Vectors) -> Vectors:
    """Rows scaled to length one; a row of zeros stays."""
    vectors = np.asarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: Vectors = vectors / np.maximum(lengths, 1e-12)
    return result


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_lines(lines: Sequence[str]) -> str:
    """SHA-256 of the lines joined by newlines, as the index names its labels."""
    return hashlib.sha256("\n".join(lines).encode("utf-8")).hexdigest()
