"""What the server refuses before the page sees it: closed routes, bodies too large, addresses to fetch, old uploads."""

import asyncio
import contextlib
import http.client
import json
import logging
import os
import tempfile
import threading
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import page_guard
from tests.running_page import call, fn_index, page_with_uploads, post, run_event, running_page

METADATA = "http://169.254.169.254/latest/meta-data/"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with page_with_uploads(tmp_path_factory.mktemp("uploads")) as running:
        yield running


def send(address: str, path: str, body: bytes, kind: str = "application/json", method: str = "POST"):
    """(status, body) of one request."""
    request = urllib.request.Request(f"{address}{path}", body, {"Content-Type": kind}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def form(data: bytes, field: str = "files", name: str = "ad.txt") -> bytes:
    head = f'--xx\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'
    return head.encode() + data + b"\r\n--xx--\r\n"


def send_form(address: str, path: str, body: bytes):
    return send(address, path, body, "multipart/form-data; boundary=xx")


def size_of(path: Path) -> int:
    """Size of a file of this machine, which another program may just have deleted."""
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_programs_still_get_in(served):
    from gradio_client import Client

    client = Client(served[0], verbose=False, analytics_enabled=False, download_files=False)
    assert client.predict("You know SQL", -1, 5, api_name="/find_skills")[0]["label"] == "SQL"


@pytest.mark.parametrize("path", ["process_recording", "component_server", "run/find_skills", "api/find_skills"])
def test_routes_that_the_page_never_uses_are_closed(served, path):
    before = set(Path(tempfile.gettempdir()).iterdir())
    body = form(b"x" * 2_000_000, "video")
    assert send_form(served[0], f"/gradio_api/{path}", body)[0] == 404
    new = set(Path(tempfile.gettempdir()).iterdir()) - before
    assert 2_000_000 not in [size_of(path) for path in new]
    assert send(served[0], f"/gradio_api/{path}", json.dumps({"data": ["SQL", -1, 5]}).encode())[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        *("gradio_api/proxy=http://169.254.169.254/", "gradio_api/queue/status", "gradio_api/stream/a/b/c"),
        *("gradio_api/custom_component/xyzzy/client/x/y", "monitoring", "gradio_api/file=pyproject.toml"),
    ],
)
def test_nothing_is_read_that_the_page_never_reads(served, capfd, path):
    assert send(served[0], f"/{path}", None, method="GET")[0] == 404
    assert "xyzzy" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("path", ["call/find_skills", "queue/join"])
def test_a_call_that_lacks_values_writes_nothing_of_the_others_to_the_log(served, capfd, path):
    """Gradio's own error quotes what came."""
    address, page, _ = served
    body = {"data": ["xyzzy bake bread"]}
    if path == "queue/join":
        with pytest.raises(RuntimeError, match="This takes 5 values, and 1 came"):
            run_event(address, fn_index(page, "find"), body["data"], "few")
    else:
        with pytest.raises(RuntimeError, match="This takes 3 values, and 1 came"):
            call(address, "find_skills", *body["data"])
    assert "xyzzy" not in "".join(capfd.readouterr())


def test_an_error_of_ours_goes_to_the_log_without_what_it_says(served, capfd, monkeypatch):
    def fails(_, text, *__):
        raise ValueError(f"cannot read {text}")

    monkeypatch.setattr("page_service.PageService.find", fails)
    with pytest.raises(RuntimeError):
        call(served[0], "find_skills", "xyzzy bake bread", -1, 5)
    log = "".join(capfd.readouterr())
    assert "page_service.py" in log
    assert "ValueError" in log
    assert "xyzzy" not in log


def test_an_error_of_the_server_goes_to_the_log_without_what_it_says(served, caplog, monkeypatch):
    words = "xyzzy bake bread"

    def fails():
        raise ValueError(words)

    monkeypatch.setattr(page_guard, "_too_many_wait", fails)
    log = logging.getLogger("uvicorn.error")
    log.addHandler(caplog.handler)
    try:
        assert send_form(served[0], page_guard.UPLOAD, form(b"x"))[0] == 500
        until = time.monotonic() + 30
        while "ASGI" not in caplog.text:  # it is logged once the answer has left
            assert time.monotonic() < until
            time.sleep(0.01)
    finally:
        log.removeHandler(caplog.handler)
    assert "page_guard.py" in caplog.text
    assert "ValueError" in caplog.text
    assert "xyzzy" not in caplog.text


def test_results_that_nobody_fetches_are_forgotten(served, monkeypatch, tmp_path):
    """After their minutes, with the names of files that are gone; what has just come stays."""
    address, page, _ = served
    queue, forget = page._queue, page_guard.ForgetUnread(page)
    page.temp_file_sets[0].add(str(tmp_path / "Jane_Doe_CV.pdf"))
    event = post(address, "call/find_skills", {"data": ["You bake bread.", -1, 5]})["event_id"]
    until = time.monotonic() + 30
    while event not in queue.pending_messages_per_session or queue.pending_messages_per_session[event].empty():
        assert time.monotonic() < until
        time.sleep(0.01)
    forget()
    assert event in queue.pending_messages_per_session
    assert str(tmp_path / "Jane_Doe_CV.pdf") not in page.temp_file_sets[0]
    monkeypatch.setattr(page_guard, "FORGET_UNREAD_S", 0.0)
    time.sleep(0.01)
    forget()
    assert event not in queue.pending_messages_per_session
    assert event not in queue.pending_event_ids_session
    # A result that was fetched leaves nothing either.
    assert call(address, "find_skills", "You bake bread in ovens.", -1, 5)
    until = time.monotonic() + 60
    while queue.pending_event_ids_session:  # Gradio notes that it was fetched once the answer has left
        assert time.monotonic() < until
        forget()
        time.sleep(0.01)


def test_a_session_is_never_written_to_a_file(served):
    """Gradio's deep links write what a visitor pasted into a file that stays."""
    address, page, uploads = served
    run_event(address, fn_index(page, "find"), ["xyzzy bake bread", 0.5, 5, True, False], "deep")
    assert send(address, "/gradio_api/deep_link?session_hash=deep", None, method="GET")[0] == 404
    assert not any(b"xyzzy" in file.read_bytes() for file in files_in(uploads))


@pytest.mark.parametrize("address_to_fetch", [METADATA, "http://127.0.0.1:1/x.txt", "https://example.com/ad.txt"])
def test_no_address_is_fetched_for_a_visitor(served, monkeypatch, capfd, address_to_fetch):
    import safehttpx

    fetched = []

    async def fetch(url, *_, **__):
        fetched.append(url)
        raise OSError("a test tried to fetch")

    monkeypatch.setattr(safehttpx, "get", fetch)
    file = {"path": address_to_fetch, "orig_name": "ad.txt", "meta": {"_type": "gradio.FileData"}}
    address, page, _ = served
    with pytest.raises(RuntimeError) as refused:
        run_event(address, fn_index(page, "<lambda>", "upload"), [file], "fetch")
    assert "Traceback" not in str(refused.value)
    with pytest.raises(RuntimeError):
        call(address, "find_skills", file, -1, 5)
    assert fetched == []
    said = capfd.readouterr()
    assert address_to_fetch not in said.out + said.err
    assert call(address, "find_skills", "You know SQL", -1, 5)[0]["label"] == "SQL"


@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/gradio_api/call/find_skills", "/gradio_api/mcp/"])
def test_a_body_over_the_limit_is_refused(served, path):
    body = json.dumps({"data": ["x" * page_guard.MAX_BODY_BYTES, -1, 5]}).encode()
    assert send(served[0], path, body)[0] == 413


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/gradio_api/call/find_skills", "application/json"), ("/gradio_api/upload", "multipart/form-data; boundary=xx")],
)
def test_a_body_of_unsaid_length_is_counted(served, path, kind):
    """Chunked: no Content-Length tells its size beforehand."""
    connection = http.client.HTTPConnection(urlsplit(served[0]).netloc, timeout=30)
    small = [form(b"x" * 100, name=f"{n}.txt")[: -len(b"--xx--\r\n")] for n in range(3)]
    chunks = [*small, *([b"x" * 500_000] * (page_guard.MAX_BODY_BYTES // 500_000 + 1))]
    with contextlib.closing(connection):
        connection.request("POST", path, iter(chunks), {"Content-Type": kind}, encode_chunked=True)
        assert connection.getresponse().status == 413
    assert send(served[0], "/health", None, method="GET") == (200, b'{"status":"ok"}')


@pytest.mark.parametrize("sizes", [[page_guard.MAX_BODY_BYTES + 1], [page_guard.MAX_BODY_BYTES, 1], [9, 9_000_000, 9]])
def test_the_last_byte_may_be_the_one_too_many(sizes):
    """Nothing comes after it: waiting for more would never end."""
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def read(request):
        await request.body()
        return PlainTextResponse("read")

    chunks = [{"type": "http.request", "body": b"x" * size, "more_body": True} for size in sizes]
    chunks[-1]["more_body"] = False
    sent = []

    async def receive():
        return chunks.pop(0) if chunks else await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    app = page_guard.Guard(Starlette(routes=[Route(page_guard.UPLOAD, read, methods=["PUT"])]))
    scope = {"type": "http", "method": "PUT", "path": page_guard.UPLOAD, "headers": [], "query_string": b""}
    asyncio.run(asyncio.wait_for(app(scope, receive, send), 10))
    assert sent[0]["status"] == 413


def test_many_files_in_one_request_are_held_to_the_same_limit(served):
    """Three files of 4 MB each: each is under the limit of a file, together they are over that of a request."""
    part = form(b"x" * 4_000_000)[: -len(b"--xx--\r\n")]
    assert send_form(served[0], "/gradio_api/upload", part * 3 + b"--xx--\r\n")[0] == 413


def test_uploads_that_wait_are_bounded(served, monkeypatch):
    monkeypatch.setattr(page_guard, "MAX_WAITING_BYTES", 1000)
    assert send_form(served[0], "/gradio_api/upload", form(b"y" * 1001))[0] == 200
    status, said = send_form(served[0], "/gradio_api/upload", form(b"z"))
    assert (status, b"Try again" in said) == (503, True)
    for file in files_in(served[2]):
        file.unlink()
    assert send_form(served[0], "/gradio_api/upload", form(b"z"))[0] == 200


def test_what_uploads_leave_behind_is_swept_once_it_is_old(tmp_path):
    old, fresh = tmp_path / "hash" / "ad.txt", tmp_path / "other" / "ad.txt"
    aborted = tmp_path / "tmpabc"
    for file in (old, fresh, aborted):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"x")
    long_ago = time.time() - page_guard.FORGET_UPLOADS_S - 1
    for path in (old, aborted, old.parent):
        os.utime(path, (long_ago, long_ago))
    page_guard.sweep(tmp_path)
    assert files_in(tmp_path) == [fresh]
    os.utime(old.parent, (long_ago, long_ago))
    page_guard.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
    page_guard.sweep(tmp_path / "not there")


def test_a_session_is_forgotten_an_hour_after_its_last_use(served, monkeypatch):
    """Gradio itself holds a session's last text until 500 others have come."""
    address, page, _ = served
    holder = page.app.state_holder
    run_event(address, fn_index(page, "find"), ["xyzzy bake bread", 0.5, 5, True, False], "old")
    page_guard.forget_sessions(page)
    assert "xyzzy" in str(holder.session_data["old"].config_values)
    monkeypatch.setitem(holder.time_last_used, "old", datetime.now() - timedelta(seconds=3601))
    page_guard.forget_sessions(page)
    assert "old" not in holder.session_data
    outputs = run_event(address, fn_index(page, "find"), ["You bake bread", 0.5, 5, True, False], "old")
    assert "bake bread in ovens" in outputs[3]


def test_the_page_does_its_chores(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(page_guard, "CHORES_EVERY_S", 0.01)
    done = threading.Event()
    with running_page(chores=[done.set]) as (address, _):
        assert done.wait(30)
        assert send(address, "/health", None, method="GET")[0] == 200


def test_one_chore_that_fails_stops_no_other(monkeypatch):
    monkeypatch.setattr(page_guard, "CHORES_EVERY_S", 0.01)
    done = []

    def fails():
        done.append("fails")
        raise OSError("disk")

    async def serve():
        async with page_guard.doing([fails, lambda: done.append("next")])(None):
            until = time.monotonic() + 60
            while done.count("next") < 2:
                assert time.monotonic() < until
                await asyncio.sleep(0.01)

    asyncio.run(serve())
    assert done.count("fails") > 1
    time.sleep(0.05)  # a chore in its thread may end after the loop
    count = len(done)
    time.sleep(0.05)
    assert len(done) == count
