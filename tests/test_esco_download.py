"""A release is fetched once from the address the user names, kept, and checked; its relations too if it has none."""

import http.server
import io
import threading
import zipfile
from urllib.parse import unquote

import pytest

from dataset_builder import build, esco_download
from dataset_builder.contract import EXIT_USER_ERROR, StageError, run_command, sha256_of_file
from dataset_builder.esco import read_esco
from dataset_builder.esco_download import (
    DEFAULT_URL,
    RELATIONS,
    RELATIONS_SHA256_VARIABLE,
    RELATIONS_URL_VARIABLE,
    SHA256_VARIABLE,
    URL_VARIABLE,
    download_esco,
    url_of,
)

HEAD = "conceptUri,preferredLabel,altLabels,description,skillType\n"
SKILLS = "urn:s:1,Brot backen,,Backt Brot.,skill/competence\nurn:s:2,Teig kneten,,Knetet Teig.,skill/competence\n"
NEEDS = "occupationUri,relationType,skillUri\nurn:o:1,essential,urn:s:1\nurn:o:1,essential,urn:s:2\n"
RELATION_FILES = {
    "occupationSkillRelations.csv": NEEDS,
    "broaderRelationsSkillPillar.csv": "conceptUri,broaderUri\nurn:s:1,urn:g:1\n",
    "skillSkillRelations.csv": "originalSkillUri,relatedSkillUri\nurn:s:1,urn:s:2\n",
}
CLASSIFICATION_FILES = {
    "skills_de.csv": HEAD + SKILLS,
    "occupations_de.csv": "conceptUri,preferredLabel\nurn:o:1,Bäcker\n",
}
PAGE = b"<html>no</html>"


def zip_with(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


# The stand-in has 1.2.0 in one zip and the versions before it in two: status and body for the second.
RELATIONS_ANSWERS = {
    "1.1.0": (200, zip_with(RELATION_FILES)),
    "1.0.9": (404, PAGE),
    "1.0.8": (200, b"\n <!DOCTYPE html><form>"),
    "1.0.7": (200, zip_with(CLASSIFICATION_FILES)),
    "1.0.6": (200, zip_with(RELATION_FILES)[:-30]),
}


def answer_to(path: str) -> tuple[int, bytes]:
    version = path.split()[0].rpartition("v")[2]
    if "relations" in path:
        return RELATIONS_ANSWERS[version]
    if version == "1.2.0":
        return 200, zip_with(CLASSIFICATION_FILES | RELATION_FILES)
    if version in RELATIONS_ANSWERS:
        return 200, zip_with(CLASSIFICATION_FILES)
    return (404 if version == "9.0.0" else 200), PAGE


@pytest.fixture
def portal(monkeypatch):
    """A local portal; `asked` lists the paths that were asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(unquote(self.path))
            status, body = answer_to(asked[-1])
            self.send_response(status)
            if "v6" in self.path:
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"ff\r\nno more than this")
                return
            self.send_header("Content-Length", str(len(body) + (1000 if "v7" in self.path else 0)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for variable, start in ((URL_VARIABLE, "v"), (RELATIONS_URL_VARIABLE, "relations/v")):
        address = f"http://127.0.0.1:{server.server_port}/{start}{{version}} {{language}}.zip"
        monkeypatch.setenv(variable, address.replace(" ", "%20"))
    yield asked
    server.shutdown()
    server.server_close()


def test_a_version_number_reads_a_release_and_the_cache_is_used_again(portal, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for _ in range(2):
        release = read_esco("1.2.0", language="de")
        assert (release.version, release.labels) == ("1.2.0", ["Brot backen", "Teig kneten"])
    assert portal == ["/v1.2.0 de.zip"]


def test_a_changed_file_is_refused(portal, tmp_path):
    path = download_esco("1.2.0", "de", tmp_path)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(StageError, match="SHA-256"):
        download_esco("1.2.0", "de", tmp_path)


def test_a_zip_is_never_in_the_cache_without_its_checksum(portal, monkeypatch, tmp_path):
    """Killed while it notes the checksum, a download leaves no zip, and the next one fetches it again."""

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(esco_download, "write_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            download_esco("1.2.0", "de", tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert download_esco("1.2.0", "de", tmp_path).is_file()


def test_a_demanded_checksum_is_checked(portal, monkeypatch, tmp_path):
    path = download_esco("1.2.0", "de", tmp_path)
    monkeypatch.setenv(SHA256_VARIABLE, sha256_of_file(path))
    assert download_esco("1.2.0", "de", tmp_path) == path
    monkeypatch.setenv(SHA256_VARIABLE, "0" * 64)
    with pytest.raises(StageError, match="not 0000"):
        download_esco("1.2.0", "de", tmp_path)


@pytest.mark.parametrize(("version", "words"), [("9.0.0", "answered 404"), ("8.0.0", "no zip")])
def test_what_is_no_release_is_an_error_that_says_what_to_do(portal, tmp_path, version, words):
    with pytest.raises(StageError, match=words) as caught:
        download_esco(version, "en", tmp_path)
    assert "by hand" in caught.value.remedy
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("version", ["6.0.0", "7.0.0"])
def test_a_download_that_breaks_off_leaves_nothing(portal, tmp_path, version):
    """The one says how long it is and ends before, the other ends within a chunk."""
    with pytest.raises(StageError, match=r"broke off .*Try again"):
        download_esco(version, "en", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_two_numbers_are_a_version_as_well(portal, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert read_esco("v1.2", language="de").version == "1.2.0"
    assert portal == ["/v1.2.0 de.zip"]


def test_progress_is_shown(portal, tmp_path, capsys):
    download_esco("1.2.0", "de", tmp_path)
    assert "downloading v1.2.0_classification_de.zip: 100%" in capsys.readouterr().err


def test_no_connection_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv(URL_VARIABLE, "http://127.0.0.1:9/{version}.zip")
    with pytest.raises(StageError, match="cannot be reached"):
        download_esco("1.1.0", "en", tmp_path)


def test_the_address_is_a_web_address(monkeypatch):
    assert url_of("1.1.1", "fr") == DEFAULT_URL.format(version="1.1.1", language="fr")
    monkeypatch.setenv(URL_VARIABLE, "file:///etc/passwd")
    with pytest.raises(StageError, match="no web address"):
        url_of("1.1.1", "fr")


def test_the_address_of_relations_is_one_of_their_own(monkeypatch):
    assert url_of("1.1.0", "fr", RELATIONS) == url_of("1.1.0", "fr").replace("classification", "relations")
    monkeypatch.setenv(RELATIONS_URL_VARIABLE, "file:///etc/passwd")
    with pytest.raises(StageError, match=f"{RELATIONS_URL_VARIABLE} is no web address"):
        url_of("1.1.0", "fr", RELATIONS)


class TestRelations:
    """They are a second zip where the first holds none."""

    @pytest.fixture(autouse=True)
    def cache(self, portal, monkeypatch, tmp_path):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        return tmp_path / "esco"

    def test_they_are_fetched_once_and_read(self, portal, capsys):
        for _ in range(2):
            release = read_esco("1.1.0", "de")
            assert [one.essential_skills for one in release.occupations] == [("urn:s:1", "urn:s:2")]
            assert (release.broader, release.related) == ({"urn:s:1": ("urn:g:1",)}, {"urn:s:1": ("urn:s:2",)})
        assert (release.version, list(release.file_sha256)) == (
            "1.1.0",
            ["v1.1.0_classification_de.zip", "v1.1.0_relations_de.zip"],
        )
        assert portal == ["/v1.1.0 de.zip", "/relations/v1.1.0 de.zip"]
        shown = capsys.readouterr().err
        assert "downloading v1.1.0_relations_de.zip: 100%" in shown
        assert "note:" not in shown

    def test_a_co_mention_can_be_planned(self, tmp_path, capsys):
        given = ["--esco", "1.1.0", "--language", "de", "--families", "co-mention:2", "--version", "0.1.0", "--dry-run"]
        given += ["--out", str(tmp_path / "d"), "--base-url", "http://127.0.0.1:9", "--model", "stub"]
        assert run_command(build.main, given) == 0, capsys.readouterr().err

    def test_relations_by_hand_are_not_fetched(self, portal, tmp_path):
        (tmp_path / "mine.zip").write_bytes(zip_with(RELATION_FILES))
        assert read_esco(["1.1.0", tmp_path / "mine.zip"], "de").related == {"urn:s:1": ("urn:s:2",)}
        assert portal == ["/v1.1.0 de.zip"]

    @pytest.mark.parametrize(
        ("version", "reason"),
        [("1.0.9", "answered 404"), ("1.0.8", "something that is no zip"), ("1.0.7", "relations_de.zip holds none")],
    )
    def test_without_them_a_note_says_what_is_missing_and_skills_are_read(self, capsys, version, reason):
        release = read_esco(version, "de")
        assert (release.labels, release.related) == (["Brot backen", "Teig kneten"], {})
        (note,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
        for words in (version, reason, "no co-mentions", "by hand", "RELATIONS_ZIP", RELATIONS_URL_VARIABLE):
            assert words in note

    def test_without_a_connection_there_is_a_note_too(self, monkeypatch, capsys):
        monkeypatch.setenv(RELATIONS_URL_VARIABLE, "http://127.0.0.1:9/{version}.zip")
        assert len(read_esco("1.1.0", "de").skills) == 2
        assert "cannot be reached" in capsys.readouterr().err

    def test_damage_is_one_line(self, cache, monkeypatch, capsys):
        """A zip without its end; then one that changed in the cache; then another than the one demanded."""

        def error_of(version):
            assert run_command(lambda *_: read_esco(version, "de"), []) == EXIT_USER_ERROR
            return [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]

        (line,) = error_of("1.0.6")
        assert "no zip file" in line
        assert RELATIONS_URL_VARIABLE in line
        assert not [path for path in cache.iterdir() if "relations" in path.name]
        path = download_esco("1.1.0", "de", part=RELATIONS)
        path.write_bytes(path.read_bytes() + b"x")
        (line,) = error_of("1.1.0")
        assert f"{path} has SHA-256" in line
        path.unlink()
        monkeypatch.setenv(RELATIONS_SHA256_VARIABLE, "0" * 64)
        (line,) = error_of("1.1.0")
        assert "not 0000" in line
