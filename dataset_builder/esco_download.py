"""A version number and a language -> the ESCO release's zips in the user's cache, from the portal of the Commission.

A release is one zip, its classification; where that holds no relations, as in 1.1.0, these are a second zip. The
address of the first is the one behind the portal's own "direct download" links, that of the second is made after it.
Both were tried against a local stand-in only, since the portal's form asks for an e-mail address. Set ESCO_DOWNLOAD_URL
and ESCO_RELATIONS_URL to other addresses with {version} and {language} in them, for a mirror or when the portal moves.
The first download's SHA-256 is kept beside the file and checked at every use; set ESCO_DOWNLOAD_SHA256 and
ESCO_RELATIONS_SHA256 to demand a known one.
"""

from __future__ import annotations

import http.client
import os
import sys
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tqdm import tqdm

from dataset_builder.contract import StageError, sha256_of_file, write_atomically
from dataset_builder.csv_files import CsvFiles
from dataset_builder.esco_relations import has_relations

URL_VARIABLE = "ESCO_DOWNLOAD_URL"
SHA256_VARIABLE = "ESCO_DOWNLOAD_SHA256"
RELATIONS_URL_VARIABLE = "ESCO_RELATIONS_URL"
RELATIONS_SHA256_VARIABLE = "ESCO_RELATIONS_SHA256"
DEFAULT_URL = (
    "https://ec.europa.eu/esco/download/"
    "ESCO%20dataset%20-%20v{version}%20-%20classification%20-%20{language}%20-%20csv.zip"
)
RELATIONS_DEFAULT_URL = DEFAULT_URL.replace("classification", "relations")
CHUNK_BYTES = 1 << 16
TIMEOUT_S = 60
_WITHOUT_RELATIONS = "so no hierarchy, no linked skills, no skills of occupations and no co-mentions"


class NotThereError(StageError):
    """An address has no such zip, or cannot be reached."""


@dataclass(frozen=True)
class Part:
    """One of a release's zips: its name in the cache, its address and the environment variables that say otherwise.

    `give` says where its path goes for those who have it by hand.
    """

    name: str
    default_url: str
    url_variable: str
    sha256_variable: str
    give: str

    @property
    def by_hand(self) -> str:
        """What to do where the download fails."""
        return (
            f"Download the CSV zip of the {self.name} by hand from https://esco.ec.europa.eu/en/use-esco/download and "
            f"{self.give}, or set {self.url_variable}"
        )


CLASSIFICATION = Part("classification", DEFAULT_URL, URL_VARIABLE, SHA256_VARIABLE, give="give its path")
RELATIONS = Part(
    "relations",
    RELATIONS_DEFAULT_URL,
    RELATIONS_URL_VARIABLE,
    RELATIONS_SHA256_VARIABLE,
    give="give its path after the version (--esco VERSION RELATIONS_ZIP)",
)


def download_esco(
    version: str, language: str = "en", cache: str | Path | None = None, part: Part = CLASSIFICATION
) -> Path:
    """Path of a release's zip, downloaded unless the cache has it.

    Args:
        version: such as "1.1.0".
        language: two-letter code.
        cache: folder to keep it in; by default esco/ in the user's cache folder.
        part: which of the release's zips.

    Raises:
        StageError: no such release, no connection, no zip, or another checksum than before.
    """
    folder = Path(cache) if cache else default_cache()
    path = folder / f"v{version}_{part.name}_{language}.zip"
    if not path.exists():
        _fetch(url_of(version, language, part), path, part)
    _check(path, part)
    return path


def download_relations(version: str, language: str = "en", cache: str | Path | None = None) -> Path | None:
    """Path of the zip of a release's relations; without one, None and a note on stderr: skills can do without.

    Args:
        version: such as "1.1.0".
        language: two-letter code.
        cache: folder to keep it in; by default esco/ in the user's cache folder.

    Raises:
        StageError: it broke off, is no zip, or has another checksum than before.
    """
    try:
        path = download_esco(version, language, cache, RELATIONS)
        if has_relations(CsvFiles([path]), language):
            return path
        problem = f"{path} holds none (delete it to download again)"
    except NotThereError as error:
        problem = error.problem
    note = f"note: no relations of ESCO {version}, {_WITHOUT_RELATIONS}: {problem}. {RELATIONS.by_hand}"
    tqdm.write(note, file=sys.stderr)
    return None


def default_cache() -> Path:
    """The user's cache folder for ESCO releases."""
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "esco"


def url_of(version: str, language: str, part: Part = CLASSIFICATION) -> str:
    """Address of a release's zip."""
    pattern = os.environ.get(part.url_variable) or part.default_url
    if urlsplit(pattern).scheme not in ("http", "https"):
        raise StageError(f"{part.url_variable} is no web address: {pattern!r}")
    return pattern.replace("{version}", version).replace("{language}", language)


def _fetch(url: str, path: Path, part: Part) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer, partial.open("wb") as file:  # noqa: S310
            total = int(answer.headers.get("Content-Length") or 0) or None
            with tqdm(total=total, unit="B", unit_scale=True, desc=f"downloading {path.name}") as bar:
                while chunk := answer.read(CHUNK_BYTES):
                    bar.update(file.write(chunk))
            if total and file.tell() != total:
                raise StageError(f"{url} broke off after {file.tell():,} of {total:,} bytes", "Try again")
        if not zipfile.is_zipfile(partial):
            # A portal may answer with a page, such as its form, instead of a 404.
            error_type = NotThereError if partial.read_bytes().lstrip().startswith(b"<") else StageError
            raise error_type(f"{url} sent something that is no zip file", part.by_hand)
        write_atomically(_note(path), sha256_of_file(partial) + "\n")  # first: a zip without its note is never checked
        partial.replace(path)
    except urllib.error.HTTPError as error:
        raise NotThereError(f"{url} answered {error.code}", part.by_hand) from None
    except http.client.HTTPException as error:
        raise StageError(f"{url} broke off ({type(error).__name__})", "Try again") from None
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise NotThereError(f"{url} cannot be reached ({reason})", part.by_hand) from None
    finally:
        partial.unlink(missing_ok=True)


def _check(path: Path, part: Part) -> None:
    found = sha256_of_file(path)
    demanded = os.environ.get(part.sha256_variable)
    expected = demanded or (_note(path).read_text(encoding="utf-8").strip() if _note(path).exists() else found)
    if found != expected.lower():
        raise StageError(f"{path} has SHA-256 {found}, not {expected}", "Delete the file and run the command again")


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")
