"""The page: python -m space.app [--model FOLDER_OR_HUB_ID] [--skills FILE_OR_FOLDER] [--port N]; on a Space, app.py.

Which model it opens without arguments says `page_model`.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DEFAULT_PORT = 7860
MAX_WAITING = 64
AT_ONCE = 4
# The only endpoints a program may call; a test compares.
ENDPOINTS = ("find_skills", "rank_sentence", "esco_skills")
MCP_TOOL = "esco_skills"
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

from encoders import BACKENDS  # noqa: E402
from name_words import forget_words  # noqa: E402
from page_address import check_address  # noqa: E402
from page_guard import ForgetUnread, forget_sessions, private_upload_folder, sweep  # noqa: E402
from page_model import open_service  # noqa: E402
from page_service import PageService  # noqa: E402
from skill_index import SkillFinderError  # noqa: E402


def build_page(service: PageService) -> Any:
    """The whole page as Gradio Blocks, and its endpoints."""
    import gradio as gr

    from page_guard import fetch_nothing, keep_words_out_of_logs
    from page_own_list import own_list_tab
    from page_tabs import compare_tab, find_tab, sentence_tab

    with gr.Blocks(title="Skill finder", analytics_enabled=False, delete_cache=(300, 300)) as page:
        gr.HTML(_masthead(service))
        with gr.Tabs():
            with gr.Tab("Find skills"):
                find_tab(service)
            with gr.Tab("Compare ad and CV"):
                compare_tab(service)
            with gr.Tab("One sentence"):
                sentence_tab(service)
            with gr.Tab("Your own skills"):
                own_list_tab(service)
        gr.HTML(_colophon(service))
        for name in ENDPOINTS:
            gr.api(_endpoint(service, name), api_name=name)
    fetch_nothing()
    keep_words_out_of_logs(page)
    page.queue(max_size=MAX_WAITING, default_concurrency_limit=AT_ONCE, api_open=False)
    return page


def _endpoint(service: PageService, name: str) -> Any:
    """A method of the service whose problems reach the caller as one sentence; all but one are no MCP tools."""
    import gradio as gr

    from page_service import PageError, checked_call

    method = getattr(service, name)

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return checked_call(method, *args, **kwargs)
        except PageError as error:
            raise gr.Error(str(error), print_exception=False) from None

    if name != MCP_TOOL:
        call._mcp_type = "endpoint"  # type: ignore[attr-defined]
    return call


def _masthead(service: PageService) -> str:
    note = f'<p class="stock-note" role="note">{escape(service.note)}</p>' if service.note else ""
    return (
        '<header class="masthead"><h1>Skill finder</h1><button type="button" id="theme-switch">Light / dark</button>'
        "<p>Paste a job ad in English and see which skills it asks for, and where it says so.</p></header>" + note
    )


def _colophon(service: PageService) -> str:
    about = service.about()
    count = f"{len(service.finder.index.skills):,}"
    return (
        f'<footer class="colophon">Looks for {count} skills of {escape(about["taxonomy"])} with the model '
        f"{escape(about['model'])}. What you paste stays in memory until an hour after you last used the page, and is "
        "never logged. A file you open is deleted as soon as it is read. Uses the ESCO classification of the European "
        "Commission. "
        "A computer chose these skills: check them before you decide about a person.</footer>"
    )


def launch_options(chores: Sequence[Callable[[], None]] = ()) -> dict[str, Any]:
    """How the page is served: limits, privacy and looks. `chores` are done every half minute."""
    from starlette.middleware import Middleware
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from page_guard import Guard, doing
    from page_theme import page_theme

    async def health(_: Any) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    return {
        "run_history": False,
        "max_file_size": "5mb",
        "show_error": False,
        "ssr_mode": False,
        "footer_links": ["api"],
        "enable_monitoring": False,
        "state_session_capacity": 5000,
        "mcp_server": importlib.util.find_spec("mcp") is not None,
        "app_kwargs": {
            "routes": [Route("/health", health)],
            "middleware": [Middleware(Guard)],
            "lifespan": doing(chores),
        },
        "theme": page_theme(),
        "css": _file("page.css"),
        "head": f"<style>{_file('page_frame.css')}</style><script>{_file('page.js')}</script>",
        "quiet": True,
    }


def _file(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Open the page and serve it until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m space.app", description="Open the skill finder page.")
    parser.add_argument("--model", default="", help="model folder or Hub id[@revision]; default: the newest release")
    parser.add_argument("--skills", default="", help="CSV, Parquet or folder of skills instead of the model's own")
    parser.add_argument("--backend", choices=BACKENDS, default="auto")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines in")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    given = parser.parse_args(arguments)
    uploads = private_upload_folder()
    service = open_service(given.model, given.skills, given.backend)
    page = build_page(service)
    chores = (
        functools.partial(sweep, uploads),
        functools.partial(forget_sessions, page),
        ForgetUnread(page),
        service.lists.forget_old,
        forget_words,
    )
    host = "0.0.0.0" if "SPACE_ID" in os.environ else given.host  # noqa: S104 (a Space is its own container)
    check_address(host, given.port)
    page.launch(server_name=host, server_port=given.port, prevent_thread_lock=True, **launch_options(chores))
    sys.stdout.write(f"The page is open at http://{given.host}:{given.port} (Ctrl-C ends it).\n")
    if service.note:
        sys.stdout.write(service.note + "\n")
    sys.stdout.flush()
    page.block_thread()


def run() -> int:
    """`main` with errors as one line and exit code 2; a signal to end is taken as Ctrl-C, so that uploads go too."""
    for end in (signal.SIGTERM, signal.SIGINT):  # a shell's background jobs begin with SIGINT ignored
        signal.signal(end, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        try:
            main([argument for argument in sys.argv[1:] if argument != "--debug"])
        except (SkillFinderError, OSError) as error:
            if "--debug" in sys.argv:
                raise
            sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(run())
