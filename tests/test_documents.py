"""Files that people drop: their text, or a sentence that says why not. Every hostile file is made here."""

import io
import zipfile

import pytest

from documents import MAX_FILE_BYTES, MAX_TEXT_CHARS, UnreadableFileError, read_document

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def docx(body: str, name: str = "word/document.xml", head: str = "", space: str = W, relations: str = "") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        if relations:
            archive.writestr("_rels/.rels", relations)
        archive.writestr(name, f'{head}<w:document xmlns:w="{space}"><w:body>{body}</w:body></w:document>')
    return out.getvalue()


def relations(target: str) -> str:
    kinds = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    return (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f'<Relationship Id="a" Type="{kinds}/extended-properties" Target="docProps/app.xml"/>'
        f'<Relationship Id="b" Type="{kinds}/officeDocument" Target="{target}"/></Relationships>'
    )


def paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def pdf(text: str = "You bake bread", pages: int = 1, password: str = "", algorithm: str = "RC4-128") -> bytes:
    from pypdf import PdfWriter
    from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

    writer = PdfWriter()
    font = DictionaryObject(
        {NameObject("/Type"): NameObject("/Font"), NameObject("/Subtype"): NameObject("/Type1"),
         NameObject("/BaseFont"): NameObject("/Helvetica")}
    )  # fmt: skip
    for _ in range(pages):
        page = writer.add_blank_page(300, 300)
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 20 200 Td ({text}) Tj ET".encode())
        page[NameObject("/Contents")] = writer._add_object(stream)
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F1"): writer._add_object(font)})}
        )
    if password:
        writer.encrypt(password, algorithm=algorithm)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def styled(text: str, properties: str, run: str = "") -> str:
    return f"<w:p><w:pPr>{properties}</w:pPr><w:r>{run}<w:t>{text}</w:t></w:r></w:p>"


def test_every_paragraph_of_a_word_file_is_a_line():
    """A tab in front, or a place where a tab would stop, glues nothing to the line above."""
    stops = '<w:tabs><w:tab w:val="left" w:pos="720"/></w:tabs>'
    body = paragraph("Benefits") + styled("Free lunch", stops) + styled("A car", "", "<w:tab/>") + paragraph("Tasks")
    assert read_document(docx(body)) == "Benefits\nFree lunch\n\tA car\nTasks\n"


def test_rows_of_a_word_table_are_lines_and_cells_are_parted():
    rows = "".join(
        f"<w:tr>{''.join(f'<w:tc>{paragraph(cell)}</w:tc>' for cell in row)}</w:tr>"
        for row in (("Benefits", "Free lunch"), ("Tasks", "Plan tests"))
    )
    text = read_document(docx(f"<w:tbl>{rows}</w:tbl>{paragraph('after')}"))
    assert text == "Benefits\tFree lunch\t\nTasks\tPlan tests\t\nafter\n"


def test_items_of_a_word_list_have_their_bullets():
    """numId 0 takes a paragraph out of a list, and a numbered heading is a heading."""
    item, out, heading = (
        f'{style}<w:numPr><w:ilvl w:val="0"/><w:numId w:val="{number}"/></w:numPr>'
        for style, number in (("", 3), ("", 0), ('<w:pStyle w:val="Heading1"/>', 1))
    )
    body = styled("Tasks", heading) + styled("Plan tests", item) + styled("No item", out) + paragraph("End")
    assert read_document(docx(body)) == "Tasks\n• Plan tests\nNo item\nEnd\n"


def test_what_a_paragraph_was_is_not_what_it_is():
    """Tracked changes keep the former style: a heading that once was an item has no bullet."""
    former = '<w:pPrChange><w:pPr><w:numPr><w:numId w:val="3"/></w:numPr></w:pPr></w:pPrChange>'
    now = '<w:pStyle w:val="Heading1"/><w:numPr><w:numId w:val="0"/></w:numPr>'
    assert read_document(docx(styled("Benefits", now + former))) == "Benefits\n"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("Bäcker\r\nin Köln".encode(), "Bäcker\nin Köln"),
        ("\ufeffad".encode(), "ad"),
        ("Bäcker".encode("cp1252"), "Bäcker"),
        ("Bäcker".encode("utf-16"), "Bäcker"),
        ("خباز".encode(), "خباز"),
        (docx(paragraph("You bake") + paragraph("bread")), "You bake\nbread\n"),
        ("\ufb01nance work\ufb02ows, e\ufb03cient".encode(), "finance workflows, efficient"),
        ("Py\u00adthon,\u200b S\u2060QL\ufeff".encode(), "Python, SQL"),
    ],
)
def test_text_of_honest_files(data, expected):
    assert read_document(data) == expected


def test_word_tables_keep_their_cells_apart():
    cell = "<w:tc>{}</w:tc>"
    table = f"<w:tbl><w:tr>{cell.format(paragraph('SQL'))}{cell.format(paragraph('good'))}</w:tr></w:tbl>"
    assert read_document(docx(table)).split() == ["SQL", "good"]


def test_text_of_a_pdf():
    assert "You bake bread" in read_document(pdf(), "ad.pdf")


@pytest.mark.parametrize(
    ("data", "name", "says"),
    [
        (b"", "a.txt", "empty"),
        (b"  \n", "a.txt", "empty"),
        (b"x" * (MAX_FILE_BYTES + 1), "a.txt", "5 MB"),
        (b"x" * (MAX_TEXT_CHARS + 1), "a.txt", "100,000"),
        (bytes(range(256)) * 20, "a.txt", "not a text file"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "a.png", "not a text file"),
        (b"hello", "a.pdf", "not a real PDF"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "a.docx", "old or locked Word file"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "a.doc", "old or locked Word file"),
        (rb"{\rtf1\ansi You pr\'fcfen\par}", "a.rtf", "an RTF file"),
        (b"%PDF-1.7 and nothing else", "a.pdf", "damaged"),
        (b"PK\x03\x04 broken", "a.docx", "damaged"),
        (docx("", name="other.xml"), "a.docx", "not a Word file"),
        (docx("<w:p>"), "a.docx", "damaged"),
        (docx(paragraph(" ")), "a.docx", "no text"),
        (docx(paragraph("A" * 30_000_000)), "a.docx", "far too large"),
        (docx("<w:tc>" + paragraph("") + "</w:tc>" * 1), "a.docx", "no text"),
        (docx(paragraph("&lol;"), head='<!DOCTYPE x [<!ENTITY lol "lol">]>'), "a.docx", "Word does not write"),
    ],
)
def test_refusals_are_sentences(data, name, says):
    with pytest.raises(UnreadableFileError, match=says) as refused:
        read_document(data, name)
    assert str(refused.value).endswith(".")


def test_a_million_cells_are_refused():
    """A million cells of 40 bytes are 40 MB of XML, over the limit of 20 MB, packed into a few kB."""
    with pytest.raises(UnreadableFileError, match="far too large"):
        read_document(docx("<w:tbl><w:tr>" + "<w:tc><w:p><w:r/></w:p></w:tc>" * 1_000_000 + "</w:tr></w:tbl>"))


def test_a_zip_that_lies_about_its_size():
    data = bytearray(docx(paragraph("A" * 30_000_000)))
    directory = data.rfind(b"PK\x01\x02")
    data[directory + 24 : directory + 28] = (1000).to_bytes(4, "little")
    # Python's zipfile stops at the size that the directory states, and then misses the rest in the checksum.
    with pytest.raises(UnreadableFileError, match="damaged"):
        read_document(bytes(data))


def test_a_text_box_is_read_once_and_its_hyphens_stay():
    """Word writes a text box twice, for itself and, as a fallback, for its old versions."""
    box = paragraph("You bake bread.")
    markup = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
    both = f"<mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback>"
    hyphen = "<w:p><w:r><w:t>on</w:t><w:noBreakHyphen/><w:t>site</w:t></w:r></w:p>"
    text = read_document(
        docx(f"<w:p><w:r><mc:AlternateContent {markup}>{both}</mc:AlternateContent></w:r></w:p>{hyphen}")
    )
    assert text.split() == ["You", "bake", "bread.", "on-site"]


@pytest.mark.parametrize("junk", [b"\xef\xbb\xbf", b"\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1000 + b"\n"])
def test_a_pdf_may_begin_after_a_mark_or_lines_of_a_server(junk):
    assert "You bake bread" in read_document(junk + pdf(), "ad.pdf")
    assert "You bake bread" in read_document(junk + pdf())


def test_a_text_may_speak_of_the_mark_of_a_pdf():
    text = "You know that a file which begins with %PDF-1.7 is a PDF."
    assert read_document(text.encode(), "ad.txt") == text


def test_a_word_file_that_was_saved_as_strict():
    item = '<w:numPr><w:ilvl w:val="0"/><w:numId w:val="3"/></w:numPr>'
    data = docx(styled("You bake bread", item), space="http://purl.oclc.org/ooxml/wordprocessingml/main")
    assert read_document(data) == "• You bake bread\n"


@pytest.mark.parametrize("target", ["/word/document2.xml", "word/document2.xml", "word/x/../document2.xml"])
def test_the_text_of_a_word_file_is_where_the_file_says(target):
    data = docx(paragraph("You bake bread"), name="word/document2.xml", relations=relations(target))
    assert read_document(data) == "You bake bread\n"


def test_a_spreadsheet_is_no_word_file():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("_rels/.rels", relations("xl/workbook.xml"))
        archive.writestr("xl/workbook.xml", '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml"/>')
    for data in (out.getvalue(), docx("", relations=relations("word/gone.xml"))):
        with pytest.raises(UnreadableFileError, match="not a Word file"):
            read_document(data, "a.docx")


def test_a_locked_pdf_and_one_with_too_many_pages():
    with pytest.raises(UnreadableFileError, match="password"):
        read_document(pdf(password="secret"))
    with pytest.raises(UnreadableFileError, match="50 pages"):
        read_document(pdf(pages=51))


def run(text: str, properties: str = "") -> str:
    return f"<w:r><w:rPr>{properties}</w:rPr><w:t>{text}</w:t></w:r>"


def test_moved_text_stands_where_it_is_now():
    moved = run("Plan tests") + "<w:r><w:tab/></w:r>"
    body = f"<w:p><w:moveFrom>{moved}</w:moveFrom>{run('Tasks')}</w:p><w:p><w:moveTo>{moved}</w:moveTo></w:p>"
    assert read_document(docx(body)) == "Tasks\nPlan tests\t\n"


@pytest.mark.parametrize(
    ("properties", "is_seen"),
    [
        ("<w:vanish/>", False),
        ('<w:b/><w:vanish w:val="1"/>', False),
        ('<w:vanish w:val="0"/>', True),
        ('<w:vanish w:val="false"/>', True),
        ('<w:vanish w:val="off"/>', True),
        ("<w:rPrChange><w:rPr><w:vanish/></w:rPr></w:rPrChange>", True),  # what the run was before
    ],
)
def test_hidden_text_is_not_read(properties, is_seen):
    text = read_document(docx(f"<w:p>{run('You')}{run(' never', properties)}{run(' bake')}</w:p>"))
    assert text == ("You never bake\n" if is_seen else "You bake\n")


def test_a_text_box_starts_a_line():
    """Old Word's copy of it is left out, line break and all; a box at the start of a line needs none."""
    compatible = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
    box = f"<w:txbxContent>{paragraph('Sidebar text')}</w:txbxContent>"
    both = f"<w:r><mc:AlternateContent {compatible}><mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback>"
    both += "</mc:AlternateContent></w:r>"
    assert read_document(docx(f"<w:p>{run('Main text')}{both}</w:p>")) == "Main text\nSidebar text\n\n"
    assert read_document(docx(f"<w:p>{both}{run('Main text')}</w:p>")) == "Sidebar text\nMain text\n"


def test_a_tab_at_a_place_of_the_page_is_a_tab():
    body = f'<w:p>{run("Python")}<w:r><w:ptab w:relativeTo="margin" w:alignment="right"/></w:r>{run("SQL")}</w:p>'
    assert read_document(docx(body)) == "Python\tSQL\n"
