"""A file that someone drops on the page (text, PDF or DOCX) -> its text, within hard limits.

Files from strangers may be broken, encrypted, or small on disk and huge when opened. Every limit is checked before the
work it bounds, and every refusal is a sentence for the person who dropped the file.
"""

from __future__ import annotations

import codecs
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pdf_text
import word_text
from plain_text import join_letters

MAX_FILE_BYTES = 5 * 1024 * 1024
MAX_TEXT_CHARS = 100_000
MAX_PDF_PAGES = pdf_text.MAX_PAGES
# Time on the wall; time on the processor is limited in process_limits.py.
MAX_SECONDS = 30.0
_PDF_MARK = b"%PDF-"
_RTF_MARK = b"{\\rtf"
# What Word before 2007 wrote, and what it wraps a locked file in today.
_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# How the system ends a process that used up its time.
_OUT_OF_TIME = -getattr(signal, "SIGXCPU", 0)
_PDF_REFUSALS = {
    3: "The PDF is locked with a password. Save it without one, or paste its text.",
    4: f"The PDF has more than {MAX_PDF_PAGES} pages.",
}
_WORD_REFUSALS = {
    3: "The Word file is locked with a password. Save it without one.",
    4: "The Word file unpacks to something far too large.",
    5: "This is not a Word file. Use .txt, .pdf or .docx, or paste the text.",
    6: "The Word file holds something that Word does not write.",
}


class UnreadableFileError(ValueError):
    """Why a file was not read, said to the person who gave it."""


def read_document(data: bytes, name: str = "") -> str:
    """Text of a file, by what it holds rather than by its name.

    Args:
        data: the whole file.
        name: its name, for the message alone.

    Raises:
        UnreadableFileError: too large, empty, of another kind, encrypted, damaged, or without text.
    """
    if len(data) > MAX_FILE_BYTES:
        raise UnreadableFileError(f"The file is larger than {MAX_FILE_BYTES // 1024**2} MB. Paste its text instead.")
    if not data.strip():
        raise UnreadableFileError("The file is empty.")
    if data.startswith(b"PK\x03\x04"):
        text = _read_apart(word_text, data, "Word file", _WORD_REFUSALS)
    elif (start := _start_of_pdf(data)) >= 0:
        text = _read_apart(pdf_text, data[start:], "PDF", _PDF_REFUSALS)
    elif data.startswith(_OLD_OFFICE):
        raise UnreadableFileError(
            "This is an old or locked Word file. Save it as .docx without a password, or paste its text."
        )
    elif data.lstrip().startswith(_RTF_MARK):
        raise UnreadableFileError("This is an RTF file. Save it as .docx, or paste its text.")
    elif name.lower().endswith((".pdf", ".docx")):
        raise UnreadableFileError("This is not a real PDF or Word file. Paste the text instead.")
    else:
        text = _read_plain(data)
    text = join_letters(_without_controls(text))
    if not text.strip():
        raise UnreadableFileError("There is no text in the file. A scanned page is a picture: copy its text by hand.")
    if len(text) > MAX_TEXT_CHARS:
        raise UnreadableFileError(f"The text has more than {MAX_TEXT_CHARS:,} characters. Take a part of it.")
    return text


def _start_of_pdf(data: bytes) -> int:
    """Where a PDF begins, -1 where there is none: servers put marks or lines of their own before it."""
    start = data[:1024].find(_PDF_MARK)
    is_first = not data[: max(start, 0)].strip(codecs.BOM_UTF8 + b" \t\r\n\f\0")
    # A text may speak of the mark, and holds no objects.
    return start if is_first or b"endobj" in data else -1


def _read_plain(data: bytes) -> str:
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"", "utf-8-sig")):
        if data.startswith(mark):
            try:
                text = data.decode(encoding)
            except UnicodeDecodeError:
                break
            # NUL is UTF-8 too: a binary, or text of two or four bytes a letter without its mark.
            if "\0" not in text:
                return text
            break
    # Old office files: every byte is a letter in cp1252, so look for what text never holds.
    if b"\0" in data or sum(byte < 9 or 13 < byte < 32 for byte in data[:4096]) > 2:
        raise UnreadableFileError("This is not a text file. Use .txt, .pdf or .docx, or paste the text.")
    return data.decode("cp1252", errors="replace")


def _read_apart(script: ModuleType, data: bytes, name: str, refusals: Mapping[int, str]) -> str:
    """Read in a process of its own, whose time and memory end with it: a crafted file can ask for any amount."""
    too_long = f"The {name} takes too long to read. Paste its text instead."
    command = [sys.executable, "-E", "-s", str(Path(str(script.__file__)).resolve())]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=MAX_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise UnreadableFileError(too_long) from None
    if done.returncode == 0:
        return done.stdout.decode("utf-8", errors="replace")
    damaged = f"The {name} is damaged. Paste its text instead."
    raise UnreadableFileError({**refusals, _OUT_OF_TIME: too_long}.get(done.returncode, damaged))


def _without_controls(text: str) -> str:
    return re.sub("[\x00-\x08\x0b\x0e-\x1f\x7f]", " ", text.replace("\r\n", "\n").replace("\r", "\n"))
