"""Files made to harm: broken in every byte, encoded to hide, small and endless. A sentence each, and no harm done."""

import io
import os
import random
import signal
import subprocess
import sys
import time
import tracemalloc
import zipfile
import zlib

import pytest

import word_text
from documents import MAX_TEXT_CHARS, UnreadableFileError, read_document
from tests.test_documents import W, docx, paragraph, pdf

LAUGHS = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
BOMB = f'<?xml version="1.0" encoding="{{}}"?><!DOCTYPE x [<!ENTITY e0 "haha">{LAUGHS}]>'


def packed(xml: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("word/document.xml", xml)
    return out.getvalue()


def refused(data: bytes, name: str = "a.docx") -> str:
    with pytest.raises(UnreadableFileError) as refusal:
        read_document(data, name)
    assert str(refusal.value).endswith(".")
    return str(refusal.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_flipped_bytes_in_the_packed_part(method):
    words = random.Random(7)
    body = "".join(paragraph("".join(words.choices("abcdefgh ", k=40))) for _ in range(200))
    whole = packed(f'<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>'.encode(), method)
    start = whole.index(b"document.xml") + len("document.xml")
    for place in (start + 1, start + 9, start + 40, start + 400, start + 900):
        broken = bytearray(whole)
        broken[place : place + 3] = bytes(byte ^ 0xFF for byte in broken[place : place + 3])
        assert "damaged" in refused(bytes(broken))


def test_a_flipped_byte_is_a_zlib_error():
    """What the test above relies on: zipfile lets the error of the packing through."""
    whole = bytearray(packed(b"<x/>" * 1000))
    start = whole.index(b"document.xml") + len("document.xml")
    whole[start] ^= 0xFF
    with pytest.raises(zlib.error), zipfile.ZipFile(io.BytesIO(whole)) as archive:
        archive.read("word/document.xml")


@pytest.mark.parametrize("encoding", ["xxx", "utf-7", "shift_jis", "idna", "cp037", "rot13", "UTF-16"])
def test_a_named_encoding_changes_nothing(encoding):
    """The text is UTF-8 whatever it says of itself."""
    head = f'<?xml version="1.0" encoding="{encoding}"?>'
    assert read_document(docx(paragraph("Bäcker"), head=head)) == "Bäcker\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-32", "cp037", "cp500"])
def test_no_encoding_hides_a_document_type(encoding):
    name = encoding.removesuffix("-le")
    declaration, rest = BOMB.format(name).split("?>", 1)
    rest += f'<w:document xmlns:w="{W}">{paragraph("&e9;")}</w:document>'
    xml = f"{declaration}?>{rest}".encode(encoding)
    if encoding.startswith("cp"):
        # Readers take a declaration in ASCII, and change to the named encoding after it.
        xml = f"{declaration}?>".encode() + rest.encode(encoding)
    started = time.monotonic()
    said = refused(packed(xml, zipfile.ZIP_STORED))
    assert ("Word does not write" in said) == (encoding == "utf-8")
    assert time.monotonic() - started < 20


def xml_of(size: int, piece) -> bytes:
    parts, length, number = [], 0, 0
    while length < size:
        part = piece(number)
        parts.append(part)
        length, number = length + len(part), number + 1
    return "".join(parts).encode()


@pytest.mark.parametrize(
    ("kind", "piece"),
    [
        ("empty elements", lambda _: "<x/>"),
        ("names of their own", lambda n: f"<x{n}/>"),
        ("ever deeper", lambda _: "<x>"),
        ("cells", lambda _: "<w:tc/>"),
    ],
)
def test_nothing_but_elements_stays_small_here(kind, piece):
    """19 MB of elements, with noise that keeps the packing ratio low: what they cost ends with their own process."""
    noise = "".join(random.Random(7).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=200_000))
    closing = b"" if kind == "ever deeper" else b"</w:document>"
    xml = f'<w:document xmlns:w="{W}"><!--{noise}-->'.encode() + xml_of(19_000_000, piece) + closing
    data = packed(xml)
    assert len(data) < 5_000_000
    tracemalloc.start()
    try:
        said = refused(data)
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()
    assert any(words in said for words in ("no text", "damaged", "too long to read"))


def test_a_million_cells_under_the_limit_of_size_give_their_text():
    cells = "<w:tc/>" * 1_000_000
    noise = "".join(random.Random(7).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=200_000))
    data = docx(f"<!--{noise}-->{paragraph('You bake')}<w:tbl>{cells}</w:tbl>")
    assert "more than" in refused(data)
    few = docx(f"{paragraph('You bake')}<w:tbl>{'<w:tc/>' * 1000}</w:tbl>{paragraph('bread')}")
    assert read_document(few).split() == ["You", "bake", "bread"]


def test_a_process_beyond_its_memory_is_a_damaged_file(monkeypatch, tmp_path):
    greedy = tmp_path / "greedy.py"
    greedy.write_text("import sys\nsys.stdin.buffer.read()\nraise MemoryError", encoding="utf-8")
    monkeypatch.setattr(word_text, "__file__", str(greedy))
    assert "damaged" in refused(docx(paragraph("x")))


def test_a_process_beyond_its_time_takes_too_long(monkeypatch, tmp_path):
    """One second of work, well within the time on the wall."""
    pytest.importorskip("resource")
    busy = tmp_path / "busy.py"
    folder = word_text.__file__.rpartition("/")[0]
    start = f"import sys; sys.path.insert(0, {folder!r})\nimport process_limits as limits\nlimits.CPU_S = 1\n"
    busy.write_text(start + "limits.limit_this_process(2**30)\nfor _ in range(10**9): pass", encoding="utf-8")
    monkeypatch.setattr(word_text, "__file__", str(busy))
    monkeypatch.setattr("documents.MAX_SECONDS", 300.0)
    assert "too long to read" in refused(docx(paragraph("x")))


def test_the_limits_hold():
    pytest.importorskip("resource")
    code = "from process_limits import limit_this_process\nlimit_this_process(2**28)\nbytearray(2**29)"
    folder = word_text.__file__.rpartition("/")[0]
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert "MemoryError" in done.stderr


def test_a_process_beyond_its_time_leaves_no_image_of_its_memory():
    """It would hold the document; where the system keeps such images, the limit of their size alone forbids it."""
    resource = pytest.importorskip("resource")
    code = (
        "import os, resource, signal\nhard = resource.getrlimit(resource.RLIMIT_CORE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))\n"
        "from process_limits import limit_this_process\nlimit_this_process(2**30)\n"
        "print(*resource.getrlimit(resource.RLIMIT_CORE), flush=True)\nos.kill(os.getpid(), signal.SIGXCPU)"
    )
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("this system forbids such images by itself")
    folder = word_text.__file__.rpartition("/")[0]
    child = subprocess.Popen([sys.executable, "-c", code], cwd=folder, stdout=subprocess.PIPE, text=True)
    assert child.stdout.read() == "0 0\n"
    _, status = os.waitpid(child.pid, 0)
    child.returncode = -os.WTERMSIG(status)
    assert os.WTERMSIG(status) == signal.SIGXCPU
    assert not os.WCOREDUMP(status)


@pytest.mark.parametrize(
    "data",
    [
        "You bake bread".encode("utf-16-le"),
        "You bake bread".encode("utf-16-be"),
        "You bake bread".encode("utf-32"),
        "You bake bread".encode("utf-32-le"),
        b"MZ\x90\0\3\0\0\0 This program cannot be run",
        b"text\0" * 100,
    ],
)
def test_bytes_between_letters_are_no_text(data):
    assert "not a text file" in refused(data, "a.txt")


def test_utf_16_with_its_mark_is_text():
    assert read_document("You bake bread 🍞".encode("utf-16")) == "You bake bread 🍞"


@pytest.mark.parametrize("algorithm", ["RC4-40", "RC4-128", "AES-128", "AES-256-R5", "AES-256"])
def test_a_pdf_locked_in_any_way(algorithm):
    if algorithm.startswith("AES"):
        pytest.importorskip("cryptography")
    assert "password" in refused(pdf(password="secret", algorithm=algorithm), "a.pdf")


def test_a_locked_pdf_where_nothing_can_unlock_it():
    """AES needs a package that pypdf does not ask for."""
    pytest.importorskip("cryptography")
    code = "import sys; sys.modules.update(cryptography=None, Crypto=None); import pdf_text; sys.exit(pdf_text.main())"
    folder = word_text.__file__.rpartition("/")[0]
    data = pdf(password="secret", algorithm="AES-256")
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, input=data, capture_output=True, check=False)
    assert done.returncode == 3, done.stderr


def test_five_megabytes_of_anything():
    five = 5 * 1024 * 1024
    assert f"{MAX_TEXT_CHARS:,}" in refused(b"bread " * (five // 6), "a.txt")
    assert "5 MB" in refused(b"%PDF-1.7\n" + b"x" * five, "a.pdf")
    noise = random.Random(7).randbytes(five - 10)
    for said in (refused(b"%PDF-1.7\n" + noise[:-9], "a.pdf"), refused(b"PK\x03\x04" + noise[:-9])):
        assert "damaged" in said or "too long to read" in said
