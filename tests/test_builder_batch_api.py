"""A plan through a batch endpoint: sent once, collected into the same journal, and built from there."""

import email
import http.server
import json
import threading

import openai
import pytest

from dataset_builder import batch_api
from dataset_builder.contract import StageError
from dataset_builder.esco import EscoRelease, Skill
from dataset_builder.generate import Generation
from dataset_builder.journal import REFUSAL, Journal
from dataset_builder.plan import Endpoint, Sampling, make_plan
from dataset_builder.sending import Limits
from dataset_builder.sentences import collect
from dataset_builder.stub_server import reply_text

SKILLS = tuple(Skill(uri=f"urn:{n}", label=f"skill {n}") for n in range(6))


class Provider(http.server.BaseHTTPRequestHandler):
    """Keeps uploaded requests, and answers them once `done`: the second refused, the third an outage."""

    uploads: list = []  # noqa: RUF012
    done = False

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/files"):
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            parts = email.message_from_bytes(head + body).get_payload()
            content = next(part for part in parts if part.get_filename()).get_payload(decode=True)
            Provider.uploads.append([json.loads(line) for line in content.decode().splitlines()])
            self.answer({"id": "file-1", "object": "file"})
        else:
            self.answer({"id": f"batch-{len(Provider.uploads)}", "status": "validating"})

    def do_GET(self):
        if "/batches/" in self.path:
            status = "completed" if Provider.done else "in_progress"
            self.answer({"id": "batch-1", "status": status, "output_file_id": "out", "error_file_id": None})
            return
        lines = []
        for number, request in enumerate(Provider.uploads[-1]):
            text = reply_text(request["body"], 4)
            good = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": {}}
            status = {1: 400, 2: 500}.get(number, 200) if len(Provider.uploads) == 1 else 200
            response = {"status_code": status, "body": good if status == 200 else {"error": "no"}}
            lines.append(json.dumps({"custom_id": request["custom_id"], "response": response}))
        self.answer("\n".join([*lines, json.dumps({"custom_id": "of another plan"})]))

    def answer(self, content):
        body = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        return


@pytest.fixture
def client():
    Provider.uploads, Provider.done = [], False
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield openai.OpenAI(base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="x", max_retries=0)
    server.shutdown()
    server.server_close()


def test_submit_come_back_collect(client, tmp_path):
    """6 requests: 4 replies and 1 refusal are kept, the outage is sent again by the next submit, alone."""
    plan = make_plan(EscoRelease(version="1", language="en", skills=SKILLS), {"styled": 4})
    with Journal(tmp_path / "j.sqlite") as journal:
        generation = Generation(plan, journal, Endpoint(str(client.base_url), "m", "mine"), Sampling(), Limits())
        with pytest.raises(StageError, match="Run submit first"):
            batch_api.collect(generation, client)
        assert batch_api.submit(generation, client, "m") == ["batch-1"]
        assert len(Provider.uploads[0]) == 6
        with pytest.raises(StageError, match="not collected"):
            batch_api.submit(generation, client, "m")
        assert batch_api.collect(generation, client) == (0, 1)
        Provider.done = True
        assert batch_api.collect(generation, client) == (5, 0)
        assert [entry.kind for entry in journal.entries()].count(REFUSAL) == 1
        assert len(collect(generation).sentences) == 16
        batch_api.submit(generation, client, "m")
        assert [line["custom_id"] for line in Provider.uploads[1]] == [Provider.uploads[0][2]["custom_id"]]
        assert batch_api.collect(generation, client) == (1, 0)
        assert generation.missing() == []


def test_the_first_word_is_submit_or_collect():
    with pytest.raises(StageError, match="submit or collect"):
        batch_api.main(["--esco", "x"])
