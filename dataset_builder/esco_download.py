"""A version number and a language -> the ESCO release's zip in the user's cache, from the portal of the Commission.

The address is the one behind the portal's own "direct download" links. Set ESCO_DOWNLOAD_URL to another address with
{version} and {language} in it, for a mirror or when the portal moves. The first download's SHA-256 is kept beside the
file and checked at every use; set ESCO_DOWNLOAD_SHA256 to demand a known one.
"""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

from tqdm import tqdm

from dataset_builder.contract import StageError, sha256_of_file, write_atomically

URL_VARIABLE = "ESCO_DOWNLOAD_URL"
SHA256_VARIABLE = "ESCO_DOWNLOAD_SHA256"
DEFAULT_URL = (
    "https://ec.europa.eu/esco/download/"
    "ESCO%20dataset%20-%20v{version}%20-%20classification%20-%20{language}%20-%20csv.zip"
)
CHUNK_BYTES = 1 << 16
TIMEOUT_S = 60
BY_HAND = (
    "Download the CSV zip by hand from https://esco.ec.europa.eu/en/use-esco/download and give its path, "
    f"or set {URL_VARIABLE}"
)


def download_esco(version: str, language: str = "en", cache: str | Path | None = None) -> Path:
    """Path of a release's zip, downloaded unless the cache has it.

    Args:
        version: such as "1.1.0".
        language: two-letter code.
        cache: folder to keep it in; by default esco/ in the user's cache folder.

    Raises:
        StageError: no such release, no connection, no zip, or another checksum than before.
    """
    folder = Path(cache) if cache else default_cache()
    path = folder / f"v{version}_classification_{language}.zip"
    if not path.exists():
        _fetch(url_of(version, language), path)
    _check(path)
    return path


def default_cache() -> Path:
    """The user's cache folder for ESCO releases."""
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "esco"


def url_of(version: str, language: str) -> str:
    """Address of a release's zip."""
    pattern = os.environ.get(URL_VARIABLE) or DEFAULT_URL
    if urlsplit(pattern).scheme not in ("http", "https"):
        raise StageError(f"{URL_VARIABLE} is no web address: {pattern!r}")
    return pattern.replace("{version}", version).replace("{language}", language)


def _fetch(url: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer, part.open("wb") as file:  # noqa: S310
            total = int(answer.headers.get("Content-Length") or 0) or None
            with tqdm(total=total, unit="B", unit_scale=True, desc=f"downloading {path.name}") as bar:
                while chunk := answer.read(CHUNK_BYTES):
                    bar.update(file.write(chunk))
            if total and file.tell() != total:
                raise StageError(f"{url} broke off after {file.tell():,} of {total:,} bytes", "Try again")
        if not zipfile.is_zipfile(part):
            raise StageError(f"{url} sent something that is no zip file", BY_HAND)
        write_atomically(_note(path), sha256_of_file(part) + "\n")  # first: a zip without its note is never checked
        part.replace(path)
    except urllib.error.HTTPError as error:
        raise StageError(f"{url} answered {error.code}", BY_HAND) from None
    except http.client.HTTPException as error:
        raise StageError(f"{url} broke off ({type(error).__name__})", "Try again") from None
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise StageError(f"{url} cannot be reached ({reason})", BY_HAND) from None
    finally:
        part.unlink(missing_ok=True)


def _check(path: Path) -> None:
    found = sha256_of_file(path)
    demanded = os.environ.get(SHA256_VARIABLE)
    expected = demanded or (_note(path).read_text(encoding="utf-8").strip() if _note(path).exists() else found)
    if found != expected.lower():
        raise StageError(f"{path} has SHA-256 {found}, not {expected}", "Delete the file and run the command again")


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")
