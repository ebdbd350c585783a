"""What every stage shares: JSON records written last and atomically, and one-line errors for people.

A record goes in as a pydantic model and comes out as a JSON file whose presence means that its folder is whole.
A `StageError` goes in at any depth and comes out of `run_command` as one line and exit code 2.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


class StageError(Exception):
    """Something a person can mend: what is wrong, and what to do about it.

    Args:
        problem: names the thing that is wrong, with its value or path.
        remedy: what to do; printed after the problem.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem}. {remedy}" if remedy else problem)
        self.problem = problem
        self.remedy = remedy


class Strict(BaseModel):
    """Base of every part of a record: immutable, and no unknown or missing field passes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Record(Strict):
    """A JSON contract between two stages.

    Subclasses set `FILE_NAME` and `SCHEMA_VERSION`. A file of another schema version, or with a field missing or
    unknown, is refused with a `StageError` that names the file and the field.
    """

    FILE_NAME: ClassVar[str]
    SCHEMA_VERSION: ClassVar[int]

    schema_version: int

    def save(self, target: str | Path) -> Path:
        """Write to `target` (a folder, or a path ending in .json) atomically and return the file's path."""
        path = self._file_at(target)
        write_atomically(path, self.model_dump_json(indent=2) + "\n")
        return path

    @classmethod
    def load(cls, source: str | Path) -> Self:
        """Read from `source` (a folder, or a path ending in .json).

        Raises:
            StageError: no such file, not JSON, another schema version, or a field missing or unknown.
        """
        path = cls._file_at(source)
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise StageError(
                f"{path} does not exist", f"Run the stage that writes {cls.FILE_NAME} to the end"
            ) from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise StageError(f"{path} is not JSON ({error})") from None
        version = values.get("schema_version") if isinstance(values, dict) else None
        if version != cls.SCHEMA_VERSION:
            raise StageError(
                f"{path} has schema version {version!r}, and this code reads version {cls.SCHEMA_VERSION}",
                "Use the release of the code that wrote it, or run its stage again",
            )
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            raise StageError(f"{path}: field {field!r}: {first['msg'].lower()}") from None

    @classmethod
    def _file_at(cls, place: str | Path) -> Path:
        path = Path(place)
        return path if path.suffix == ".json" else path / cls.FILE_NAME


def write_atomically(path: str | Path, content: str | bytes) -> None:
    """Write `content` to a temporary name beside `path`, flush it to disk, then rename: all of it or nothing."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sha256_of_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_lines(lines: Sequence[str]) -> str:
    """SHA-256 of the lines joined by newlines: names an ordered list, such as a label space."""
    return hashlib.sha256("\n".join(lines).encode("utf-8")).hexdigest()


def code_version() -> str:
    """`git describe` of this checkout, with `-dirty` for uncommitted changes; "unknown" outside git."""
    root = Path(__file__).resolve().parent.parent
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--tags"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def shown_command(module: str, arguments: Sequence[str]) -> str:
    """`python -m module arguments` as a published record shows it: outside paths by their last part alone."""
    return shlex.join(["python", "-m", module, *map(without_folders, arguments)])


def without_folders(argument: str) -> str:
    """An argument as a published record shows it: a path that leads out of this folder by its last part alone."""
    return re.sub(r"(^|[=:*+])(?:\.{1,2}|~)?/(?:[^/+=]*/)*([^/+=]+)/?", r"\1\2", argument)


def run_command(main: Callable[[Sequence[str] | None], Any], arguments: Sequence[str] | None = None) -> int:
    """Run a command-line `main`; turn errors that a person can mend into one line on stderr and an exit code.

    `--debug` anywhere in the arguments shows the traceback as well; `main` never sees it.

    Returns:
        0, or 2 for an error that a person can mend, or 130 after Ctrl-C. Anything else propagates as it is.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    try:
        main([argument for argument in given if argument != "--debug"])
    except KeyboardInterrupt:
        print("Interrupted. What was finished is kept; the same command goes on from there.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except (StageError, OSError, MemoryError) as error:
        if debug:
            traceback.print_exc()
        print(f"error: {_one_line(error)}", file=sys.stderr)
        return EXIT_USER_ERROR
    return 0


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return (
            f"the disk is full{_file_of(error)}. Free some space and run the same command again; finished work is kept"
        )
    if isinstance(error, OSError) and not isinstance(error, StageError):
        return f"{error.strerror or error}{_file_of(error)}"
    if isinstance(error, MemoryError):
        return "out of memory. Use a smaller batch or a machine with more memory"
    return " ".join(str(error).split())


def _file_of(error: OSError) -> str:
    return f" ({error.filename})" if error.filename else ""
