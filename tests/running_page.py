"""The page on a port of this machine, with the tiny finder, for tests that talk to it as programs and browsers do."""

import contextlib
import json
import socket
import urllib.request
from pathlib import Path

import pytest

import app
import page_model
from page_service import PageService
from tests.tiny_finder import tiny_finder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _launched(service: PageService | None, chores, tries: int = 3) -> tuple:
    """(page, port): Gradio gives its server 5 s to start and 3 s to answer, which a busy machine may miss."""
    page = app.build_page(service or PageService(tiny_finder(), note=page_model.STOCK_NOTE, version="tiny"))
    port = free_port()
    try:
        page.launch(server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, **app.launch_options(chores))
    except (OSError, ValueError):
        page.close(verbose=False)
        if tries == 1:
            raise
        return _launched(service, chores, tries - 1)
    return page, port


@contextlib.contextmanager
def running_page(service: PageService | None = None, chores=()):
    """Yield (address, page)."""
    page, port = _launched(service, chores)
    try:
        yield f"http://127.0.0.1:{port}", page
    finally:
        page.close(verbose=False)


@contextlib.contextmanager
def page_with_uploads(uploads: Path):
    """Yield (address, page, uploads) of a page whose opened files are in the folder `uploads`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(uploads))
        with running_page() as (address, page):
            yield address, page, uploads


def post(address: str, path: str, values: dict, timeout_s: float = 60.0):
    request = urllib.request.Request(
        f"{address}/gradio_api/{path}", json.dumps(values).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=timeout_s) as reply:
        return json.load(reply)


def call(address: str, endpoint: str, *values, timeout_s: float = 60.0):
    """Result of an endpoint; raises RuntimeError with the message when it refuses."""
    event = post(address, f"call/{endpoint}", {"data": list(values)}, timeout_s)["event_id"]
    with urllib.request.urlopen(f"{address}/gradio_api/call/{endpoint}/{event}", timeout=timeout_s) as stream:
        kind = ""
        for raw in stream:
            line = raw.decode().strip()
            if line.startswith("event:"):
                kind = line.removeprefix("event:").strip()
            elif line.startswith("data:") and kind in ("complete", "error"):
                data = json.loads(line.removeprefix("data:"))
                if kind == "error":
                    raise RuntimeError(json.dumps(data))
                return data[0]
    raise RuntimeError("the stream ended without a result")


def fn_index(page, name: str, event: str = "", place: int = 0) -> int:
    """Number of the page's event whose function is called `name`."""
    found = [
        number
        for number, fn in page.fns.items()
        if fn.name == name and (not event or any(target[1] == event for target in fn.targets))
    ]
    return found[place]


def run_event(address: str, number: int, values: list, session: str, timeout_s: float = 60.0) -> list:
    """Outputs of an event of the page, as a browser's session gets them; raises RuntimeError when it fails."""
    join = {"data": values, "fn_index": number, "session_hash": session}
    event = post(address, "queue/join", join, timeout_s)["event_id"]
    with urllib.request.urlopen(f"{address}/gradio_api/queue/data?session_hash={session}", timeout=timeout_s) as stream:
        for raw in stream:
            line = raw.decode().strip()
            message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
            if message.get("msg") == "process_completed" and message["event_id"] == event:
                if not message["success"]:
                    raise RuntimeError(json.dumps(message["output"]))
                return message["output"]["data"]
    raise RuntimeError("the stream ended without a result")
