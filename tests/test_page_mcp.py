"""What assistants send over MCP: refusals in words, and nothing of it in the log, whatever is wrong with it."""

import asyncio
import json
import time
import urllib.request

import pytest

import app
from tests.running_page import running_page

SECRET = "xyzzy-private-words"
CALL = {"name": app.MCP_TOOL, "arguments": {"text": f"You bake bread {SECRET}"}}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        with running_page() as (address, _):
            yield address


def send(address: str, message: dict) -> str:
    """The reply to one message, as it comes."""
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    with urllib.request.urlopen(
        urllib.request.Request(f"{address}/gradio_api/mcp/", body, headers), timeout=30
    ) as reply:
        return reply.read().decode()


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        # Without an id it is a notification, and no notification has this name.
        ({"method": "tools/call", "params": CALL}, "ValidationError"),
        ({"id": 1, "method": "tools/call", "params": {"name": [SECRET]}}, "ValidationError"),
        # An answer to a question that nobody asked.
        ({"id": SECRET, "result": {}}, "ValueError"),
    ],
)
def test_a_message_that_cannot_be_read_is_logged_by_its_kind(address, caplog, capfd, message, kind):
    send(address, message)
    until = time.monotonic() + 30
    while not any(record.filename == "session.py" for record in caplog.records):
        assert time.monotonic() < until
        time.sleep(0.01)
    assert SECRET not in caplog.text + "".join(capfd.readouterr())
    assert f": {kind}" in caplog.text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Paste a text first."),
        (" \n\t", "Paste a text first."),
        (f"{SECRET} " * 5001, "The text has 100,020 characters; the limit is 100,000."),
    ],
)
def test_a_text_that_is_refused_is_answered_in_words(address, caplog, capfd, text, says):
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def ask():
        async with (
            streamablehttp_client(f"{address}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            return await session.call_tool(app.MCP_TOOL, {"text": text})

    reply = asyncio.run(ask())
    said = reply.content[0].text
    assert reply.isError
    assert says in said
    assert "Traceback" not in said
    assert SECRET not in said + caplog.text + "".join(capfd.readouterr())
