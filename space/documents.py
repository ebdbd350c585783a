"""A file that someone drops on the page (text, PDF or DOCX) -> its text, within hard limits.

Files from strangers may be broken, encrypted, or small on disk and huge when opened. Every limit is checked before the
work it bounds, and every refusal is a sentence for the person who dropped the file.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pdf_text

MAX_FILE_BYTES = 5 * 1024 * 1024
MAX_TEXT_CHARS = 100_000
MAX_PDF_PAGES = pdf_text.MAX_PAGES
# Time on the wall; its time on the processor is limited to 10 seconds in pdf_text.py.
MAX_SECONDS = 30.0
MAX_UNPACKED_BYTES = 20 * 1024 * 1024
MAX_PACKING_RATIO = 200
_PDF_REFUSALS = {
    3: "The PDF is locked with a password. Save it without one, or paste its text.",
    4: f"The PDF has more than {MAX_PDF_PAGES} pages.",
}
_WORD_NAMESPACE = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


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
    if data[:1024].lstrip().startswith(b"%PDF-"):
        text = _read_pdf(data)
    elif data.startswith(b"PK\x03\x04"):
        text = _read_docx(data)
    elif name.lower().endswith((".pdf", ".docx")):
        raise UnreadableFileError("This is not a real PDF or Word file. Paste the text instead.")
    else:
        text = _read_plain(data)
    text = _without_controls(text)
    if not text.strip():
        raise UnreadableFileError("There is no text in the file. A scanned page is a picture: copy its text by hand.")
    if len(text) > MAX_TEXT_CHARS:
        raise UnreadableFileError(f"The text has more than {MAX_TEXT_CHARS:,} characters. Take a part of it.")
    return text


def _read_plain(data: bytes) -> str:
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"", "utf-8-sig")):
        if data.startswith(mark):
            try:
                return data.decode(encoding)
            except UnicodeDecodeError:
                break
    # Old office files: every byte is a letter in cp1252, so look for what text never holds.
    if b"\0" in data or sum(byte < 9 or 13 < byte < 32 for byte in data[:4096]) > 2:
        raise UnreadableFileError("This is not a text file. Use .txt, .pdf or .docx, or paste the text.")
    return data.decode("cp1252", errors="replace")


def _read_pdf(data: bytes) -> str:
    """Read in a process of its own, whose time and memory end with it: a crafted PDF can ask for any amount."""
    command = [sys.executable, "-I", str(Path(pdf_text.__file__))]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=MAX_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise UnreadableFileError("The PDF takes too long to read. Paste its text instead.") from None
    if done.returncode == 0:
        return done.stdout.decode("utf-8", errors="replace")
    raise UnreadableFileError(_PDF_REFUSALS.get(done.returncode, "The PDF is damaged. Paste its text instead."))


def _read_docx(data: bytes) -> str:
    """Paragraphs and table cells of a Word file, read as a stream: a table with a million cells stays small."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if "word/document.xml" not in archive.namelist():
                raise UnreadableFileError("This is not a Word file. Use .txt, .pdf or .docx, or paste the text.")
            info = archive.getinfo("word/document.xml")
            if info.file_size > MAX_UNPACKED_BYTES or info.file_size > MAX_PACKING_RATIO * max(info.compress_size, 1):
                raise UnreadableFileError("The Word file unpacks to something far too large.")
            if info.flag_bits & 1:
                raise UnreadableFileError("The Word file is locked with a password. Save it without one.")
            with archive.open(info) as member:
                # The size in the zip's directory may be a lie: never read more than the limit.
                xml = member.read(MAX_UNPACKED_BYTES + 1)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        if isinstance(error, UnreadableFileError):
            raise
        raise UnreadableFileError("The Word file is damaged. Paste its text instead.") from None
    if len(xml) > MAX_UNPACKED_BYTES:
        raise UnreadableFileError("The Word file unpacks to something far too large.")
    return _text_of_word_xml(xml)


def _text_of_word_xml(xml: bytes) -> str:
    from xml.etree import ElementTree

    # A document type can define entities that grow without end; Word never writes one.
    if b"<!DOCTYPE" in xml or b"<!ENTITY" in xml:
        raise UnreadableFileError("The Word file holds something that Word does not write.")
    parts: list[str] = []
    size = 0
    breaks = {"p": "\n", "br": "\n", "cr": "\n", "tab": "\t", "tc": "\t"}
    try:
        for _, element in ElementTree.iterparse(io.BytesIO(xml)):  # noqa: S314 (no entities: checked above)
            name = element.tag.removeprefix(_WORD_NAMESPACE)
            piece = (element.text or "") if name == "t" else breaks.get(name, "")
            parts.append(piece)
            size += len(piece)
            element.clear()
            if size > MAX_TEXT_CHARS * 2:
                break
    except ElementTree.ParseError:
        raise UnreadableFileError("The Word file is damaged. Paste its text instead.") from None
    # A cell ends with its paragraph's break and then its own tab: the break alone is enough.
    return re.sub(r"\n\t", "\t", "".join(parts))


def _without_controls(text: str) -> str:
    return re.sub("[\x00-\x08\x0b\x0e-\x1f\x7f]", " ", text.replace("\r\n", "\n").replace("\r", "\n"))
