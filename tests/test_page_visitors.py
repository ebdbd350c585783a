"""Many visitors at the page at once, as browsers are: sessions, own lists, uploads, broken letters, a full queue."""

import json
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

import app
from page_service import PageService
from tests.running_page import call, fn_index, post, run_event, running_page
from tests.tiny_finder import tiny_finder

HALF = "\ud83c"


class SlowService(PageService):
    """Answers once it is let go."""

    def __init__(self):
        super().__init__(tiny_finder())
        self.go = threading.Event()

    def find_skills(self, text: str, threshold: float = -1.0, top_k: int = 50) -> list[dict[str, object]]:
        """Wait, then find."""
        self.go.wait(60)
        return super().find_skills(text, threshold, top_k)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        with running_page() as (address, page):
            yield address, page


def upload(address: str, name: str, data: bytes) -> dict:
    """The file as Gradio's browser code names it in events."""
    head = f'--xx\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    body = head.encode() + data + b"\r\n--xx--\r\n"
    request = urllib.request.Request(
        f"{address}/gradio_api/upload", body, {"Content-Type": "multipart/form-data; boundary=xx"}
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        (path,) = json.load(reply)
    return {"path": path, "orig_name": name, "size": len(data), "meta": {"_type": "gradio.FileData"}}


def events(page) -> dict[str, int]:
    return {
        "open": fn_index(page, "<lambda>", "upload"),
        "open list": fn_index(page, "opened", "upload"),
        "find": fn_index(page, "find", "click"),
        "find own": fn_index(page, "find", "click", 1),
        "csv": fn_index(page, "table", "click"),
    }


class TestOneVisitor:
    def test_two_visitors_drop_the_same_file(self, served, capfd):
        """One place for equal bytes: whoever comes second is told what to do, and no name goes to the log."""
        address, page = served
        first, second = (upload(address, "xyzzy-cv.txt", b"You bake bread") for _ in range(2))
        assert first["path"] == second["path"]
        opened = events(page)["open"]
        assert run_event(address, opened, [first], "one")[0] == "You bake bread"
        text, said, *_ = run_event(address, opened, [second], "two")
        assert text == {"__type__": "update"}
        assert "Open it again" in said
        opened_list = events(page)["open list"]
        own = upload(address, "xyzzy-cv.csv", b"id,label\n1,sing\n")
        assert "1 skills are ready" in run_event(address, opened_list, [own], "one")[1]
        assert "Open it again" in run_event(address, opened_list, [own], "two")[1]
        log = capfd.readouterr()
        assert "xyzzy-cv" not in log.out + log.err
        assert "Traceback" not in log.err

    @pytest.mark.parametrize("text", [f"You bake bread {HALF}", f"{HALF}SQL", f"You bake {HALF} bread"])
    def test_half_a_letter_is_no_error(self, served, capfd, text):
        """Half an emoji, as a browser cuts it off; it takes its place, so that offsets stay."""
        address, page = served
        found = call(address, "find_skills", text, -1, 5)
        place = found[0]["evidence"][0]
        assert place["text"] == text[place["start"] : place["end"]].replace(HALF, "\ufffd")
        assert json.loads(call(address, "esco_skills", text))[0]["label"] == found[0]["label"]
        assert call(address, "rank_sentence", text, 1)[0]["label"]
        outputs = run_event(address, events(page)["find"], [text, 0.5, 5, True, False], "half")
        assert "\ufffd" in outputs[2]
        assert found[0]["label"] in outputs[3]
        csv = run_event(address, events(page)["csv"], [None], "half")[0]
        assert found[0]["label"] in csv
        assert "Traceback" not in capfd.readouterr().err

    def test_five_megabytes_pasted_are_refused_in_words(self, served):
        text = "bread " * (5 * 1024 * 1024 // 6)
        with pytest.raises(RuntimeError, match=r"5,242,878 characters; the limit is 100,000"):
            call(served[0], "find_skills", text, -1, 5)
        outputs = run_event(served[0], events(served[1])["find"], [text, 0.5, 5, True, False], "five")
        assert "the limit is 100,000" in outputs[3]

    @pytest.mark.parametrize(
        ("text", "label", "words"),
        [
            ("خبرة في SQL", "SQL", "SQL"),
            ("‫مطلوب خبرة في SQL أو C++ أو CSS‬", "CSS", "CSS"),
            ("דרוש ניסיון ב-SQL", "SQL", "SQL"),
            ("Você conhece SQL e assa pão", "SQL", "SQL"),
            ("您需要了解 SQL。", "SQL", "SQL"),
            ("🎉🎉 Знание LDAP и 👩‍💻 опыт", "LDAP", "LDAP"),
        ],
    )
    def test_names_are_found_in_texts_of_any_writing(self, served, text, label, words):
        found = {skill["label"]: skill["evidence"][0] for skill in call(served[0], "find_skills", text, -1, 5)}
        place = found[label]
        assert text[place["start"] : place["end"]] == place["text"] == words
        outputs = run_event(served[0], events(served[1])["find"], [text, 0.5, 5, True, False], "writing")
        assert f">{words}</mark>" in outputs[2]
        assert 'dir="auto"' in outputs[2]

    @pytest.mark.parametrize("text", ["خبز الخبز", "Sie backen Brot", "Usted hornea pan", "您烤面包", "הוא אופה לחם"])
    def test_a_text_without_known_words_is_told_so(self, served, text):
        outputs = run_event(served[0], events(served[1])["find"], [text, 0.5, 5, True, False], "none")
        assert "No skills found" in outputs[3]
        assert "reads ads in English" in outputs[3]
        assert outputs[5]["visible"] is False


def test_200_events_of_32_visitors_keep_lists_files_and_results_apart(served):
    """Visitor i opens a list of one skill of its own and a file that names it, finds it, and downloads it."""
    address, page = served
    known = events(page)

    def visit(number: int) -> None:
        session, name = f"visitor{number}", f"juggle{number} torches{number}"
        own = upload(address, "list.csv", f"id,label\nid{number},{name}\n".encode())
        assert "1 skills are ready" in run_event(address, known["open list"], [own], session)[1]
        file = upload(address, "ad.txt", f"Visitor {number} can {name}".encode())
        text = run_event(address, known["open"], [file], session)[0]
        assert text == f"Visitor {number} can {name}"
        table, marked = run_event(address, known["find own"], [None, text], session)
        assert f"<code>id{number}</code>" in table
        assert f">{name}</mark>" in marked
        skill = ("SQL", "LDAP", "C++", "CSS")[number % 4]
        outputs = run_event(address, known["find"], [f"You know {skill}, {number}", 0.5, 5, True, False], session)
        assert f">{skill}</button>" in outputs[3]
        rows = run_event(address, known["csv"], [None], session)[0].splitlines()[1:]
        assert [row.split(",")[0] for row in rows] == [skill]

    with ThreadPoolExecutor(32) as visitors:
        list(visitors.map(visit, range(40)))
    held = [value for session in page.app.state_holder.session_data.values() for value in session.state_data.values()]
    assert held
    assert all(value is None or type(value).__name__ in ("OwnList", "list") for value in held)


def test_a_full_queue_says_so_and_empties_again(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    service = SlowService()
    with running_page(service) as (address, _):
        waiting = [post(address, "call/find_skills", {"data": ["SQL", -1, 5]}) for _ in range(app.MAX_WAITING)]
        refusals = []
        for _ in range(app.AT_ONCE + 1):
            try:
                waiting.append(post(address, "call/find_skills", {"data": ["SQL", -1, 5]}))
            except urllib.error.HTTPError as error:
                refusals.append((error.code, b"Queue is full" in error.read()))
        assert set(refusals) == {(503, True)}
        service.go.set()
        for event in waiting:
            url = f"{address}/gradio_api/call/find_skills/{event['event_id']}"
            with urllib.request.urlopen(url, timeout=60) as stream:
                assert b'"label": "SQL"' in stream.read()
        assert call(address, "find_skills", "You know SQL", -1, 5)[0]["label"] == "SQL"
