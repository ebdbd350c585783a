"""The page as a program sees it: endpoints, limits, privacy, hostile requests, and many visitors at once."""

import asyncio
import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import app
import page_html
from page_service import PageError, PageService
from skill_index import Skill
from tests.running_page import call, fn_index, page_with_uploads, run_event
from tests.tiny_finder import ESCO, SKILLS, tiny_finder

SECRET = "xyzzy-private-words"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with page_with_uploads(tmp_path_factory.mktemp("uploads")) as running:
        yield running


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=30) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


class TestEndpoints:
    def test_the_list_equals_the_allow_list(self, served):
        status, body = get(f"{served[0]}/gradio_api/info")
        info = json.loads(body)
        assert status == 200
        assert {name.strip("/") for name in info["named_endpoints"]} == set(app.ENDPOINTS)
        assert info["unnamed_endpoints"] == {}

    def test_the_parameters_are_typed(self, served):
        info = json.loads(get(f"{served[0]}/gradio_api/info")[1])
        types = {
            p["parameter_name"]: p["python_type"]["type"] for p in info["named_endpoints"]["/find_skills"]["parameters"]
        }
        assert types == {"text": "str", "threshold": "float", "top_k": "int"}

    def test_find_skills(self, served):
        text = "You bake bread and know SQL."
        found = call(served[0], "find_skills", text, -1, 50)
        assert [skill["label"] for skill in found] == ["SQL"]
        place = found[0]["evidence"][0]
        assert text[place["start"] : place["end"]] == place["text"] == "SQL"

    def test_rank_sentence(self, served):
        ranked = call(served[0], "rank_sentence", "bread", 3)
        assert [len(ranked), ranked[0]["uri"], ranked[0]["score"]] == [3, ESCO + "bread", 0.5]

    @pytest.mark.parametrize(
        ("values", "says"),
        [
            (("", -1, 5), "Paste a text"),
            (("x" * 100_001, -1, 5), "limit is 100,000"),
            (("x", -1, 0), "between 1"),
            (("x", 9, 5), "hreshold"),
        ],
    )
    def test_refusals_are_one_sentence_and_no_trace(self, served, values, says):
        with pytest.raises(RuntimeError, match=says) as refused:
            call(served[0], "find_skills", *values)
        assert "Traceback" not in str(refused.value)
        assert ".py" not in str(refused.value)

    @pytest.mark.parametrize(
        ("values", "says"),
        [
            (({"a": [1]}, -1, 5), "text must be text"),
            ((None, -1, 5), "text must be text"),
            (("SQL", "x", 5), "threshold must be a number"),
            (("SQL", float("nan"), 5), "hreshold must be between"),
            (("SQL", -1, 2.5), "top_k must be a whole number"),
            (("SQL", -1, True), "top_k must be a whole number"),
        ],
    )
    def test_a_wrong_kind_of_value_is_named(self, served, capfd, values, says):
        with pytest.raises(RuntimeError, match=says):
            call(served[0], "find_skills", *values)
        assert "Traceback" not in capfd.readouterr().err
        assert get(f"{served[0]}/health") == (200, b'{"status":"ok"}')

    def test_the_one_mcp_tool_gives_ids_and_labels_only(self, served):
        from mcp import ClientSession
        from mcp.client.streamable_http import streamablehttp_client

        async def talk():
            async with (
                streamablehttp_client(f"{served[0]}/gradio_api/mcp/") as (read, write, _),
                ClientSession(read, write) as session,
            ):
                await session.initialize()
                tools = (await session.list_tools()).tools
                reply = await session.call_tool(tools[0].name, {"text": "You bake bread"})
                return tools, reply

        tools, reply = asyncio.run(talk())
        assert [tool.name for tool in tools] == [app.MCP_TOOL]
        assert tools[0].description.startswith("Find the ESCO skills")
        assert json.loads(reply.content[0].text) == [{"uri": ESCO + "bread", "label": "bake bread in ovens"}]


class TestPrivacy:
    def test_nothing_is_kept_on_disk_or_in_the_log(self, served, capfd):
        address, page, uploads = served
        call(address, "find_skills", f"You bake bread {SECRET}", -1, 5)
        said = capfd.readouterr()
        assert SECRET not in said.out + said.err
        files = [file for file in uploads.rglob("*") if file.is_file()]
        assert not any(SECRET.encode() in file.read_bytes() for file in files)
        assert page.run_history is False
        assert page.analytics_enabled is False

    def test_an_upload_is_deleted_once_it_is_read(self, tmp_path, monkeypatch):
        from page_tabs import read_upload

        monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
        file = tmp_path / "ad.txt"
        file.write_text("You bake bread", encoding="utf-8")
        assert read_upload(PageService(tiny_finder()), str(file)) == "You bake bread"
        assert not file.exists()
        file.write_bytes(b"\0\1\2\3\4")
        with pytest.raises(PageError):
            read_upload(PageService(tiny_finder()), str(file))
        assert not file.exists()

    def test_a_file_that_is_no_upload_is_neither_read_nor_deleted(self, served, tmp_path, monkeypatch):
        """Gradio refuses its path, and so do we."""
        from page_tabs import read_upload

        address, page, _ = served
        outside, uploads = tmp_path / "secret.txt", tmp_path / "uploads"
        outside.write_text(SECRET, encoding="utf-8")
        file = {"path": str(outside), "orig_name": "ad.txt", "meta": {"_type": "gradio.FileData"}}
        with pytest.raises(RuntimeError) as refused:
            run_event(address, fn_index(page, "<lambda>", "upload"), [file], "outside")
        assert SECRET not in str(refused.value)
        uploads.mkdir()
        (uploads / "link.txt").symlink_to(outside)
        monkeypatch.setenv("GRADIO_TEMP_DIR", str(uploads))
        for path in (outside, uploads / "../secret.txt", uploads / "link.txt"):
            with pytest.raises(PageError, match="no longer there"):
                read_upload(PageService(tiny_finder()), str(path))
        assert outside.read_text(encoding="utf-8") == SECRET

    def test_no_font_or_script_comes_from_elsewhere(self, served):
        page = get(served[0])[1].decode()
        assert "fonts.googleapis.com" not in page
        assert "cdn.jsdelivr" not in page


class TestHostileRequests:
    @pytest.mark.parametrize(
        "route",
        [
            "/gradio_api/file=/etc/passwd",
            "/gradio_api/file=../../../../etc/passwd",
            "/gradio_api/file=pyproject.toml",
            "/gradio_api/file=http://169.254.169.254/latest/meta-data/",
            "/gradio_api/proxy=http://169.254.169.254/latest/meta-data/",
            "/file=/etc/passwd",
            "/static/../../../../../etc/passwd",
            "/gradio_api/file=%2e%2e/%2e%2e/etc/passwd",
            "/gradio_api/runs",
            "/monitoring",
        ],
    )
    def test_routes_give_no_file(self, served, route):
        status, body = get(served[0] + route)
        assert b"root:" not in body
        assert b"import" not in body[:200]
        assert status in (400, 401, 403, 404, 405) or b"<!doctype html>" in body[:200].lower()
        assert b"Traceback" not in body

    def test_an_upload_over_the_limit_is_refused(self, served):
        boundary = "xx"
        body = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\n'.encode()
            + b"x" * (6 * 1024 * 1024)
            + f"\r\n--{boundary}--\r\n".encode()
        )
        request = urllib.request.Request(
            f"{served[0]}/gradio_api/upload", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=60)
        assert refused.value.code == 413

    @pytest.mark.parametrize(
        "text",
        [
            "x",
            "\0",
            "\ud7ff\uffff",
            "‮evil",
            "خبرة في SQL",
            "Você assa pão",
            "<script>alert(1)</script>",
            "=1+1",
            "a" * 99_999,
            "🎉" * 9000,
        ],
    )
    def test_clumsy_texts_give_an_answer(self, served, text):
        assert isinstance(call(served[0], "find_skills", text, -1, 5), list)

    def test_200_requests_of_32_visitors_do_not_mix(self, served):
        """Visitor i names skill i mod 4; every reply has that skill and the visitor's own words."""
        wanted = [("SQL", "SQL"), ("LDAP", "LDAP"), ("C++", "C++"), ("CSS", "CSS")]

        def visit(number: int) -> bool:
            name, label = wanted[number % 4]
            text = f"Number {number} works with {name}"
            found = call(served[0], "find_skills", text, -1, 5)
            place = found[0]["evidence"][0]
            return [skill["label"] for skill in found] == [label] and text[place["start"] : place["end"]] == name

        with ThreadPoolExecutor(32) as visitors:
            assert all(visitors.map(visit, range(200)))


class TestHtml:
    EVIL = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>"

    def test_an_ad_cannot_write_markup(self):
        finder = tiny_finder()
        text = f"You bake bread {self.EVIL}"
        html = page_html.marked_text(text, finder.find_skills(text, threshold=0.2))
        assert "<img" not in html
        assert "<script" not in html
        assert "&lt;img src=x onerror=alert(1)&gt;" in html

    def test_a_label_or_id_cannot_either(self):
        finder = tiny_finder([Skill("javascript:alert(1)", f"bake {self.EVIL}", (), self.EVIL, (), self.EVIL)])
        matches = finder.rank("bake", 1)
        for html in (
            page_html.skill_table(matches),
            page_html.skill_table(matches, True),
            page_html.comparison(matches, [], []),
        ):
            assert "<img" not in html
            assert "<script" not in html
            assert 'href="javascript' not in html

    def test_marks_cover_exactly_the_evidence(self):
        from html import unescape
        from html.parser import HTMLParser

        class Marks(HTMLParser):
            def __init__(self):
                super().__init__(convert_charrefs=True)
                self.inside, self.marked, self.text = False, [], ""

            def handle_starttag(self, tag, attrs):
                self.inside = tag == "mark"

            def handle_endtag(self, tag):
                self.inside = False

            def handle_data(self, data):
                self.text += data
                if self.inside:
                    self.marked.append(data)

        text = "🚀 You bake bread & <b>SQL</b>.\nWe pay."
        matches = tiny_finder().find_skills(text)
        parser = Marks()
        parser.feed(page_html.marked_text(text, matches))
        assert unescape(parser.text) == text
        assert "SQL" in parser.marked

    def test_grouped_by_area(self):
        html = page_html.skill_table(tiny_finder().find_skills("SQL. You bake bread."), grouped=True)
        assert html.index("Information skills") < html.index(">SQL<") < html.index("Handling")

    @pytest.mark.parametrize("group", ["", "care"])
    def test_grouping_is_offered_where_skills_have_groups(self, group):
        page = app.build_page(PageService(tiny_finder([Skill("1", "sing", group=group)])))
        (box,) = [block for block in page.blocks.values() if getattr(block, "elem_id", "") == "grouped"]
        assert box.visible == bool(group)

    def test_nothing_found_is_said(self):
        assert "No skills found" in page_html.summary([])


class TestService:
    def test_compare(self):
        """The ad asks for SQL and bread, the CV has SQL and C++."""
        found = PageService(tiny_finder()).compare("SQL. You bake bread.", "C++ and SQL")
        assert [match.label for match in found.common] == ["SQL"]
        assert [match.label for match in found.only_first] == ["bake bread in ovens"]
        assert [match.label for match in found.only_second] == ["C++"]

    def test_two_names_of_nearly_one_skill_are_one_in_a_comparison(self):
        """ "plan shifts of (staff) employees" share 4 of 4 and 4 of 5 words: cosine 4 / sqrt(20) = 0.89, over 0.78."""
        found = PageService(tiny_finder()).compare("You plan shifts of employees.", "plan shifts of staff employees")
        assert [match.label for match in found.common] == ["plan shifts of employees"]
        assert (found.only_first, found.only_second) == ([], [])

    def test_relatives_are_two_skills_in_a_comparison(self):
        """One word of two is shared under one parent: cosine 1 / sqrt(2 x 1) = 0.71, over 0.62 and under 0.78."""
        spoken = [Skill("1", "speak German", (), "", ("languages",)), Skill("2", "German", (), "", ("languages",))]
        found = PageService(tiny_finder(spoken)).compare("speak German", "German")
        assert [match.label for match in found.only_first] == ["speak German"]

    @pytest.mark.parametrize("text", ["ab\n" * 6001, "ab, cd, ef, gh\n" * 1201])
    def test_a_text_cut_too_finely_is_refused_before_it_is_encoded(self, text):
        """6,001 lines, or 1,201 with four items each, which are 1,201 x 5 = 6,005 passages and items."""
        service = PageService(tiny_finder())
        calls = len(service.finder.encoder.calls)
        with pytest.raises(PageError, match=r"The text has 6,00\d lines, .* the limit is 6,000\. Take a part of it\."):
            service.find(text)
        assert len(service.finder.encoder.calls) == calls

    def test_two_texts_that_are_compared_share_the_time_of_one(self):
        """Half of 6,000 lines each."""
        service = PageService(tiny_finder())
        assert service.compare("ab\n" * 3000, "ab\n" * 3000).common == []
        with pytest.raises(PageError, match=r"has 3,001 lines, .* the limit is 3,000\."):
            service.compare("SQL", "ab\n" * 3001)

    def test_a_long_cv_is_read(self):
        """2,000 lines, a quarter of them lists of four."""
        lines = [f"- You bake bread in {n} ovens" if n % 4 else "Python, SQL, R, teams" for n in range(2000)]
        found = PageService(tiny_finder()).find("\n".join(lines))
        assert {"bake bread in ovens", "SQL", "R"} <= {match.label for match in found}


def test_examples_are_five_ads(repo):
    files = sorted(Path(repo / "space/examples").glob("*.txt"))
    assert len(files) == 5
    assert all(len(file.read_text(encoding="utf-8")) > 300 for file in files)
    assert len(SKILLS) > 5
