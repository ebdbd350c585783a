"""Requests to the page's server -> refused before Gradio reads them, or let through; and what uploads leave is swept.

Gradio serves more than this page needs: recordings that it writes to the disk, files of a visitor's session, calls past
its queue, addresses that it fetches for a visitor, and bodies of any length. All of that is closed here.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A file of 5 MB in its wrapping; or two texts of 100,000 characters, each escaped twice over (24 bytes).
MAX_BODY_BYTES = 6 * 1024 * 1024
MAX_DISCARDED_BYTES = 64 * 1024 * 1024
# Uploads lie in memory until they are read: all of them together.
MAX_WAITING_BYTES = 512 * 1024 * 1024
MAX_WAITING_FILES = 5_000
FORGET_UPLOADS_S = 300
FORGET_SESSIONS_S = 3600
FORGET_UNREAD_S = 300.0
CHORES_EVERY_S = 30.0
UPLOAD = "/gradio_api/upload"
# What the page, programs and assistants send to; everything else takes no body.
OPEN_TO_POST = (UPLOAD, *(f"/gradio_api/{name}" for name in ("queue/join", "call/", "cancel", "mcp", "reset")))
# What the page and programs read.
OPEN_TO_GET = (
    *("/assets/", "/static/", "/svelte/", "/theme.css", "/config", "/favicon.ico", "/manifest.json", "/robots.txt"),
    *("/health", "/pwa_icon"),
    *(
        f"/gradio_api/{name}"
        for name in (
            *("info", "openapi.json", "queue/data", "call/", "heartbeat/", "mcp", "startup-events", "app_id"),
            *("upload_progress", "api_info"),
        )
    ),
)
_READING = ("GET", "HEAD", "OPTIONS")
_TOO_LARGE = "That is more than this page takes."


class Guard:
    """ASGI middleware: 404 for what the page never uses, 413 for bodies too large, 503 while too many files wait."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on with the body counted."""
        refusal = await _refusal(scope) if scope["type"] == "http" else None
        if refusal:
            await _discard(receive)
            await refusal(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY_BYTES:
                await _discard(receive, message.get("more_body", False))
                raise HTTPException(413, _TOO_LARGE)
            return message

        await self.app(scope, counted, send)


async def _discard(receive: Receive, more: bool = True) -> None:
    """Read on without keeping anything: a browser that is cut off while it sends shows no answer."""
    size = 0
    while more and size < MAX_DISCARDED_BYTES:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)


async def _refusal(scope: Scope) -> PlainTextResponse | None:
    path = scope["path"]
    reading = scope["method"] in _READING
    if path != "/" and not path.startswith(OPEN_TO_GET if reading else OPEN_TO_POST):
        return PlainTextResponse("Not found.", 404)
    length = Headers(scope=scope).get("content-length", "0")
    if length.isdecimal() and int(length) > MAX_BODY_BYTES:
        return PlainTextResponse(_TOO_LARGE, 413)
    if path.startswith(UPLOAD) and scope["method"] == "POST" and await run_in_threadpool(_too_many_wait):
        return PlainTextResponse("Too many files are being read. Try again in a few minutes.", 503)
    return None


def _too_many_wait() -> bool:
    from gradio.utils import get_upload_folder

    size = 0
    for number, path in enumerate(Path(get_upload_folder()).rglob("*")):
        with contextlib.suppress(OSError):
            size += path.stat().st_size if path.is_file() else 0
        if size > MAX_WAITING_BYTES or number > MAX_WAITING_FILES:
            return True
    return False


def fetch_nothing() -> None:
    """Let Gradio refuse to fetch an address: it does so for any file that a visitor's request names by one."""
    import gradio as gr
    from gradio import processing_utils

    async def refuse(url: str, cache_dir: str) -> str:
        raise gr.Error("This page opens no addresses. Send the text itself.", print_exception=False)

    # There is no setting for it.
    processing_utils.async_ssrf_protected_download = refuse


def private_upload_folder() -> Path:
    """A folder where Gradio keeps uploads until they are read, in memory where there is /dev/shm; gone at exit."""
    parent = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 (a private folder is made in it)
    folder = tempfile.mkdtemp(prefix="skill-finder-", dir=parent)
    os.environ["GRADIO_TEMP_DIR"] = folder
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def sweep(folder: Path) -> None:
    """Delete what lies in the folder of uploads for longer than any upload needs: aborted and unread files, folders."""
    oldest = time.time() - FORGET_UPLOADS_S
    for root, _, names in os.walk(folder, topdown=False):
        for path in (*(Path(root) / name for name in names), Path(root)):
            with contextlib.suppress(OSError):
                if path != folder and path.stat().st_mtime < oldest:
                    path.rmdir() if path.is_dir() else path.unlink()


def keep_words_out_of_logs(page: Any) -> None:
    """Let no error write to the log what a visitor sent.

    Gradio prints errors with their message, and its own quote the values of a call that gives too few of them.
    MCP logs a message that it cannot read as it came.
    """
    import gradio as gr
    from gradio import queueing, routes

    def check(fn: Any, inputs: Sequence[Any]) -> None:
        if len(inputs) < len(fn.inputs):
            raise gr.Error(f"This takes {len(fn.inputs)} values, and {len(inputs)} came.", print_exception=False)

    page.validate_inputs = check
    # There is no setting for it.
    for module in (queueing, routes):
        module.traceback = _TracebackWithoutWords()
    # Some modules of MCP use the root logger.
    of_mcp = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "mcp"]
    for name in ("", "asyncio", "uvicorn.error", *of_mcp):
        logging.getLogger(name).addFilter(_without_words)


def _without_words(record: logging.LogRecord) -> bool:
    """A filter that drops no record, but what it says: where it came from and the kind of its error are left."""
    kind, _, where = record.exc_info or sys.exc_info()
    # What uvicorn says beside the error is the same each time.
    if not record.name.startswith("uvicorn"):
        said = kind.__name__ if kind else record.levelname.lower()
        record.msg, record.args = f"{record.filename}, line {record.lineno}: {said}", ()
    if record.exc_info:
        record.exc_info, record.exc_text = None, _places(kind, where)
    return True


class _TracebackWithoutWords:
    """Stands in for the module: where an error came from and its kind, and not what it says."""

    def __getattr__(self, name: str) -> Any:
        return getattr(traceback, name)

    def print_exc(self, *given: Any, **options: Any) -> None:
        """Print the places of the error at hand."""
        kind, _, where = sys.exc_info()
        sys.stderr.write(_places(kind, where) + "\n")


def _places(kind: type[BaseException] | None, where: TracebackType | None) -> str:
    return "".join(traceback.format_tb(where)) + (kind.__name__ if kind else "no error")


class ForgetUnread:
    """A chore: results that nobody fetched go after some minutes, with all that Gradio notes of their sessions.

    Gradio keeps the last 2,000 sessions' messages, however old, and the name of every file that was ever opened.

    Args:
        page: the Blocks that are served.
    """

    def __init__(self, page: Any) -> None:
        self._page = page
        self._unread_since: dict[str, float] = {}

    def __call__(self) -> None:
        """Look, and let go."""
        queue, now = self._page._queue, time.monotonic()
        messages, ids = queue.pending_messages_per_session, queue.pending_event_ids_session
        unread = {session for session, waiting in list(messages.items()) if not waiting.empty()}
        self._unread_since = {session: self._unread_since.get(session, now) for session in unread}
        for session, since in self._unread_since.items():
            if now - since > FORGET_UNREAD_S:
                messages.pop(session, None)
                ids.pop(session, None)
        for session, waiting in list(ids.items()):
            if not waiting:
                ids.pop(session, None)
        for files in self._page.temp_file_sets:
            files.difference_update([path for path in list(files) if not os.path.exists(path)])


def forget_sessions(page: Any) -> None:
    """Let go of what Gradio holds of sessions that nobody used for an hour: their last text and result."""
    holder = page.app.state_holder
    oldest = datetime.now() - timedelta(seconds=FORGET_SESSIONS_S)
    for session, used in list(holder.time_last_used.items()):
        if used < oldest:
            holder.session_data.pop(session, None)
            holder.time_last_used.pop(session, None)


def doing(chores: Sequence[Callable[[], None]]) -> Callable[[Any], Any]:
    """A lifespan of the server that does the chores again and again; one that fails stops no other."""

    async def repeat() -> None:
        while True:
            await asyncio.sleep(CHORES_EVERY_S)
            for chore in chores:
                with contextlib.suppress(Exception):
                    await run_in_threadpool(chore)

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        task = asyncio.create_task(repeat())
        try:
            yield
        finally:
            task.cancel()

    return lifespan
