"""Bytes of a Word file on stdin -> its text on stdout. Run as a process of its own by documents.py.

Exit code 3: locked with a password; 4: far too large; 5: no Word file; 6: holds a document type; anything else but 0:
damaged, or beyond its limits.
"""

import io
import posixpath
import sys
import zipfile
from xml.etree import ElementTree

from process_limits import limit_this_process

MAX_CHARS = 150_000
MAX_UNPACKED_BYTES = 20 * 1024 * 1024
MAX_PACKING_RATIO = 200
MEMORY_BYTES = 512 * 1024**2
_AT_ONCE = 65_536
LOCKED, TOO_LARGE, NO_WORD, ODD = 3, 4, 5, 6
# The part that holds the text is named there; nearly always it is this one.
_RELATIONS = "_rels/.rels"
_DOCUMENT = "word/document.xml"
# Of the second kind are files that were saved as "Strict Open XML".
_NAMESPACES = (
    "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}",
    "{http://purl.oclc.org/ooxml/wordprocessingml/main}",
)
# Text boxes come twice: drawn as today's Word does, and once more for old ones.
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
# What was moved is shown where it is now.
_UNSEEN = (_FALLBACK, "moveFrom")
_OFF = ("0", "false", "off")
_BREAKS = {"p": "\n", "br": "\n", "cr": "\n", "tab": "\t", "ptab": "\t", "tc": "\t", "tr": "\n", "noBreakHyphen": "-"}
_BULLET = "• "


class _RefusedError(Exception):
    """Its argument is the exit code."""


class _Text:
    """Takes paragraphs and cells as they are read and keeps no tree: a table with a million cells stays small."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.size = 0
        self._open: list[str] = []
        # Depths of the open elements whose text nobody sees.
        self._unseen: list[int] = []
        self._is_heading = self._is_item = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = _name_of(tag)
        value = next((attributes[f"{space}val"] for space in _NAMESPACES if f"{space}val" in attributes), "")
        if not self._open and name != "document":
            raise _RefusedError(NO_WORD)
        self._open.append(name)
        if name in _UNSEEN:
            self._unseen.append(len(self._open))
        elif name == "vanish" and self._open[-3:-1] == ["r", "rPr"] and value.lower() not in _OFF:
            self._unseen.append(len(self._open) - 2)
        elif name == "txbxContent" and self.parts and self.parts[-1] != "\n":
            self._add("\n")
        if "pPrChange" in self._open:  # what a paragraph was before somebody changed it
            return
        if name == "p":
            self._is_heading = self._is_item = False
        elif name == "pStyle":
            self._is_heading = value.lower().startswith(("heading", "title"))
        elif name == "numId":
            self._is_item = value != "0"  # which takes a paragraph out of the list of its style

    def end(self, tag: str) -> None:
        name = self._open.pop()
        if name == "pPr" and self._is_item and not self._is_heading and "pPrChange" not in self._open:
            self._add(_BULLET)
        # A cell ends with its paragraph's break and then its own tab: the tab alone is enough.
        if name == "tc" and not self._unseen and self.parts[-1:] == ["\n"]:
            self.parts.pop()
            self.size -= 1
        # In "tabs" a tab is a place where one would stop.
        self._add("" if name == "tab" and self._open[-1:] == ["tabs"] else _BREAKS.get(name, ""))
        while self._unseen and self._unseen[-1] > len(self._open):
            self._unseen.pop()

    def data(self, text: str) -> None:
        if self._open[-1:] == ["t"]:
            self._add(text)

    def _add(self, text: str) -> None:
        if text and not self._unseen:
            self.parts.append(text)
            self.size += len(text)

    def close(self) -> str:
        return "".join(self.parts)


def main() -> int:
    """Unpack, limit, read, write."""
    limit_this_process(MEMORY_BYTES)
    try:
        with zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read())) as archive:
            text = _text_of(_unpacked(archive, _body_of(archive)))
    except _RefusedError as refusal:
        return int(refusal.args[0])
    sys.stdout.buffer.write(text.encode("utf-8", errors="replace"))
    return 0


def _body_of(archive: zipfile.ZipFile) -> str:
    """Name of the part that holds the text."""
    if _RELATIONS in archive.namelist():
        relations = _unpacked(archive, _RELATIONS)
        for one in ElementTree.fromstring(relations, _parser()):  # noqa: S314 (no entities)
            if one.get("Type", "").endswith("/officeDocument"):
                return posixpath.normpath(one.get("Target", "").lstrip("/"))
    return _DOCUMENT


def _unpacked(archive: zipfile.ZipFile, part: str) -> bytes:
    if part not in archive.namelist():
        raise _RefusedError(NO_WORD)
    info = archive.getinfo(part)
    if info.flag_bits & 1:
        raise _RefusedError(LOCKED)
    if info.file_size > MAX_UNPACKED_BYTES or info.file_size > MAX_PACKING_RATIO * max(info.compress_size, 1):
        raise _RefusedError(TOO_LARGE)
    with archive.open(info) as member:
        # The size in the zip's directory may be a lie: never read more than the limit.
        xml = member.read(MAX_UNPACKED_BYTES + 1)
    if len(xml) > MAX_UNPACKED_BYTES:
        raise _RefusedError(TOO_LARGE)
    # A document type can define entities that grow without end; Word never writes one.
    if b"<!DOCTYPE" in xml or b"<!ENTITY" in xml:
        raise _RefusedError(ODD)
    return xml


def _name_of(tag: str) -> str:
    """The tag without the namespace of Word; other tags keep theirs."""
    return next((tag.removeprefix(space) for space in _NAMESPACES if tag.startswith(space)), tag)


def _parser(target: _Text | None = None) -> ElementTree.XMLParser:
    # Whatever encoding it names: read as another, a document type could hide from the check above.
    return ElementTree.XMLParser(target=target, encoding="utf-8")  # noqa: S314 (no entities)


def _text_of(xml: bytes) -> str:
    text = _Text()
    parser = _parser(text)
    for start in range(0, len(xml), _AT_ONCE):
        parser.feed(xml[start : start + _AT_ONCE])
        if text.size > MAX_CHARS:
            return text.close()
    parser.close()
    return text.close()


if __name__ == "__main__":
    sys.exit(main())
