"""A release is fetched once from the address the user names, kept, and checked."""

import http.server
import io
import threading
import zipfile
from urllib.parse import unquote

import pytest

from dataset_builder import esco_download
from dataset_builder.contract import StageError, sha256_of_file
from dataset_builder.esco import read_esco
from dataset_builder.esco_download import DEFAULT_URL, SHA256_VARIABLE, URL_VARIABLE, download_esco, url_of

HEAD = "conceptUri,preferredLabel,altLabels,description,skillType\n"


def release_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("skills_de.csv", HEAD + "urn:s:1,Brot backen,,Backt Brot.,skill/competence\n")
    return buffer.getvalue()


@pytest.fixture
def portal(monkeypatch):
    """A local portal; `asked` lists the paths that were asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(unquote(self.path))
            good = "v1.2.0" in self.path
            body = release_zip() if good else b"<html>no</html>"
            self.send_response(404 if "v9" in self.path else 200)
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
    monkeypatch.setenv(
        URL_VARIABLE, f"http://127.0.0.1:{server.server_port}/v{{version}} {{language}}.zip".replace(" ", "%20")
    )
    yield asked
    server.shutdown()
    server.server_close()


def test_a_version_number_reads_a_release_and_the_cache_is_used_again(portal, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for _ in range(2):
        release = read_esco("1.2.0", language="de")
        assert (release.version, release.labels) == ("1.2.0", ["Brot backen"])
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
