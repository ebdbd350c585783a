"""A file of skills -> skills and their vectors, encoded once and kept by the hash of names and encoder.

Understands an own list as CSV (columns id and label, and, where they are, description, aliases, type and group), ESCO's
skills_en.csv or a folder that holds one, and the skills.parquet of a dataset release. Skills are found by label and
aliases; a description stays with its skill and moves no score, since models are trained to meet sentences at names.
"""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from skill_index import (
    Encoder,
    Skill,
    SkillFinderError,
    SkillIndex,
    aliases_of,
    normalised,
    read_skill_table,
    sha256_of_lines,
)
from token_batches import EncodeSpans, span_vectors

MAX_OWN_SKILLS = 200_000
ENCODE_AT_ONCE = 512
_ID_COLUMNS = ("uri", "id", "concepturi", "code")
_LABEL_COLUMNS = ("label", "preferredlabel", "name", "skill", "title")
_ALIAS_COLUMNS = ("aliases", "alternative_labels", "altlabels", "alias", "synonyms")
_DESCRIPTION_COLUMNS = ("description", "definition")
_TYPE_COLUMNS = ("type", "skilltype")
_GROUP_COLUMNS = ("group",)
Progress = Callable[[int, int], None]


def read_skills(place: str | Path) -> tuple[list[Skill], str]:
    """Read skills from a CSV, a Parquet file, or a folder with skills_en.csv or skills/skills.parquet.

    Returns:
        The skills in file order, and a name for the list.

    Raises:
        SkillFinderError: nothing there, or not a list of skills.
    """
    path = Path(place)
    candidates = [path / "skills_en.csv", path / "skills" / "skills.parquet", path / "skills.parquet"]
    file = path if path.is_file() else next((one for one in candidates if one.is_file()), None)
    if file is None:
        raise SkillFinderError(f"{path} is neither a file nor a folder with skills_en.csv or skills.parquet")
    name = path.name if path.is_dir() else path.stem
    if file.suffix == ".parquet":
        return list(read_skill_table(file)), name
    return parse_skills(file.read_bytes(), str(file)), name


def parse_skills(data: bytes, where: str = "the file") -> list[Skill]:
    """Read a CSV of skills.

    Raises:
        SkillFinderError: not UTF-8 CSV text, no id or label column, an empty or repeated id, or too many rows.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SkillFinderError(f"{where} is not UTF-8 text. In a spreadsheet, save it as 'CSV UTF-8'") from None
    if "\0" in text:
        raise SkillFinderError(f"{where} is not a CSV file")
    first_line = text.partition("\n")[0]
    delimiter = max(",;\t", key=first_line.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        columns = {name.strip().lower(): name for name in reader.fieldnames or () if name}
        id_column, label_column = _first(columns, _ID_COLUMNS), _first(columns, _LABEL_COLUMNS)
        if id_column is None or label_column is None:
            found = ", ".join(columns) or "none"
            raise SkillFinderError(f"{where} needs the columns 'id' and 'label' (found: {found[:200]})")
        skills = list(_skills_of(reader, columns, id_column, label_column, where, delimiter))
    except csv.Error as error:
        problem = "a quotation mark is never closed" if "end of data" in str(error) else error
        raise SkillFinderError(f"{where}, line {reader.reader.line_num}: {problem}") from None
    if not skills:
        raise SkillFinderError(f"{where} holds no skill")
    return skills


def _skills_of(
    reader: csv.DictReader[str], columns: dict[str, str], id_column: str, label_column: str, where: str, delimiter: str
) -> Iterator[Skill]:
    alias_column, text_column = _first(columns, _ALIAS_COLUMNS), _first(columns, _DESCRIPTION_COLUMNS)
    type_column, group_column = _first(columns, _TYPE_COLUMNS), _first(columns, _GROUP_COLUMNS)
    seen: set[str] = set()
    for row in reader:
        uri, label = (row[id_column] or "").strip(), (row[label_column] or "").strip()
        if any(cell.strip() for cell in row.get(None) or ()):  # type: ignore[call-overload]  # cells without a name
            remedy = f"put a cell that holds {delimiter!r} in quotes"
            raise SkillFinderError(f"{where}, line {reader.line_num}: more cells than the header has; {remedy}")
        if not uri and not label:
            continue
        if not uri or not label:
            raise SkillFinderError(f"{where}, line {reader.line_num}: the {'label' if uri else 'id'} is empty")
        if uri in seen:
            raise SkillFinderError(f"{where}, line {reader.line_num}: the id {uri[:80]} is there twice")
        if len(seen) >= MAX_OWN_SKILLS:
            raise SkillFinderError(f"{where} has more than {MAX_OWN_SKILLS:,} skills")
        seen.add(uri)
        aliases = (row[alias_column] or "") if alias_column else ""
        yield Skill(
            uri=uri,
            label=label,
            alternative_labels=aliases_of(aliases),
            type=((row[type_column] or "") if type_column else "").strip().removeprefix("skill/"),
            group=((row[group_column] or "") if group_column else "").strip(),
            description=((row[text_column] or "") if text_column else "").strip(),
        )


def _first(columns: dict[str, str], names: tuple[str, ...]) -> str | None:
    return next((columns[name] for name in names if name in columns), None)


def encode_skills(
    skills: list[Skill],
    encoder: Encoder,
    name: str,
    cache: Path | None = None,
    encoder_id: str = "",
    progress: Progress | None = None,
) -> SkillIndex:
    """Vectors of the skills' labels, from the cache where they were made before.

    Args:
        skills: the list.
        encoder: makes the vectors that are not in the cache.
        name: what the taxonomy is called in results.
        cache: folder for vectors; None keeps nothing on disk.
        encoder_id: names the weights, such as their hash; part of the cache's key, as is the encoder's backend.
        progress: called with (done, total).
    """
    labels = [skill.label for skill in skills]
    encode_spans: EncodeSpans | None = getattr(encoder, "encode_spans", None)
    # Backends round otherwise: torch-bf16 reads the same weights as torch and makes other vectors of them.
    key = [encoder_id, str(getattr(encoder, "backend", "")), *(["tokens"] if encode_spans else []), *labels]
    file = cache / f"{sha256_of_lines(key)[:32]}.safetensors" if cache else None
    kept = _kept(file, len(labels)) if file else None
    if kept is not None:
        return _index_of(skills, kept, name, by_tokens=encode_spans is not None)
    parts = []
    for start in range(0, len(labels), ENCODE_AT_ONCE):
        part = labels[start : start + ENCODE_AT_ONCE]
        parts.append(span_vectors(encode_spans, part) if encode_spans else normalised(encoder.encode(part)))
        if progress:
            progress(min(start + ENCODE_AT_ONCE, len(labels)), len(labels))
    # As they are kept, so that a run that finds them and one that makes them give the same scores.
    vectors = np.concatenate(parts).astype(np.float16)
    if file:
        # A folder that cannot be written, or a full disk, costs the next run some time and this one nothing.
        with suppress(OSError):
            _save(file, vectors)
    return _index_of(skills, vectors, name, by_tokens=encode_spans is not None)


def _index_of(skills: list[Skill], vectors: np.ndarray, name: str, *, by_tokens: bool) -> SkillIndex:
    """vectors: as `encode_skills` keeps them, not normalised where scores are by tokens: (skills, dimensions)."""
    vectors = vectors.astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=1) if by_tokens else None
    return SkillIndex(tuple(skills), normalised(vectors) if by_tokens else vectors, name, lengths)


def _kept(file: Path, count: int) -> np.ndarray | None:
    """`count` vectors as `_save` wrote them; None where there are none, or a broken file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        vectors: np.ndarray = load_file(file)["embeddings"]
    except (OSError, SafetensorError, KeyError):
        return None
    return vectors if vectors.ndim == 2 and len(vectors) == count else None


def _save(file: Path, vectors: np.ndarray) -> None:
    """Write under a temporary name and rename, so that two processes never read half a file."""
    from safetensors.numpy import save_file

    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        temporary = Path(folder) / file.name
        save_file({"embeddings": vectors}, temporary)
        temporary.replace(file)


def cache_folder() -> Path:
    """Where vectors of own lists are kept between runs."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "esco-skill-finder"
