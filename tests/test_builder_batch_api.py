"""A plan through a batch endpoint: the same command submits, comes back, collects and, when all is there, builds."""

import email
import http.server
import json
import threading

import pytest
from openai.resources.batches import Batches

from dataset_builder import build
from dataset_builder.contract import EXIT_USER_ERROR, StageError, run_command
from dataset_builder.journal import REFUSAL, Journal
from dataset_builder.limits import CHAT_TEMPLATE_TOKENS
from dataset_builder.plan import make_plan
from dataset_builder.schema import DatasetManifest
from dataset_builder.stub_server import StubServer, reply_text
from dataset_builder.taxonomy_csv import read_taxonomy

SKILLS = 6


class Provider(http.server.BaseHTTPRequestHandler):
    """Keeps uploaded requests and answers them once `done`; `statuses` gives the status of the first batch's lines."""

    uploads: list = []  # noqa: RUF012
    statuses: dict = {}  # noqa: RUF012
    done = False
    failed = ""
    extra: list = []  # noqa: RUF012
    no = 0
    error: dict = {}  # noqa: RUF012
    ordered: list = []  # noqa: RUF012
    lists = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if Provider.no:
            self.answer({"error": {"message": "the key sk-secret is wrong"}}, Provider.no)
        elif self.path.endswith("/files"):
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            parts = email.message_from_bytes(head + body).get_payload()
            content = next(part for part in parts if part.get_filename()).get_payload(decode=True)
            Provider.uploads.append([json.loads(line) for line in content.decode().splitlines()])
            self.answer({"id": f"file-{len(Provider.uploads)}", "object": "file"})
        else:
            file_id = json.loads(body)["input_file_id"]
            Provider.ordered.append({"id": file_id.replace("file", "batch"), "input_file_id": file_id})
            self.answer({**Provider.ordered[-1], "status": "validating"})

    def do_GET(self):
        if self.path.endswith("/batches?limit=100"):
            page = {"object": "list", "data": Provider.ordered, "has_more": False}
            self.answer(page if Provider.lists else {}, 200 if Provider.lists else 404)
            return
        if "/batches/" in self.path:
            number = self.path.rsplit("-", 1)[1]
            status = "completed" if Provider.done else "in_progress"
            batch = {"id": f"batch-{number}", "status": status, "output_file_id": f"out-{number}", "errors": None}
            if Provider.failed:
                errors = {"object": "list", "data": [{"message": Provider.failed}]}
                batch |= {"status": "failed", "output_file_id": None, "errors": errors}
            self.answer(batch)
            return
        number = int(self.path.split("out-")[1].split("/")[0])
        lines = []
        for place, request in enumerate(Provider.uploads[number - 1]):
            text = reply_text(request["body"], 4)
            good = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": {}}
            status = Provider.statuses.get(place, 200) if number == 1 else 200
            response = {
                "status_code": status,
                "body": good if status == 200 else {"error": Provider.error or f"no {status}"},
            }
            # Line separators of Unicode may stand unescaped in JSON; they end no line.
            lines.append(json.dumps({"custom_id": request["custom_id"], "note": "\u2028", "response": response}))
        self.answer("\n".join([*[line.replace("\\u2028", "\u2028") for line in lines], *Provider.extra, ""]))

    def answer(self, content, status=200):
        body = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        return


@pytest.fixture
def url(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    new = {"uploads": [], "statuses": {}, "extra": [], "done": False, "failed": "", "no": 0, "error": {}}
    for name, value in {**new, "ordered": [], "lists": True}.items():
        setattr(Provider, name, value)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


@pytest.fixture
def arguments(tmp_path, url):
    rows = "".join(f"urn:{n},label {n}\n" for n in range(SKILLS))
    (tmp_path / "skills.csv").write_text(f"id,label\n{rows}")
    given = ["--esco", tmp_path / "skills.csv", "--out", tmp_path / "d", "--version", "0.1.0", "--base-url", url]
    return [str(value) for value in [*given, "--model", "m", "--provider", "mine"]]


def asked(number):
    return [line["custom_id"] for line in Provider.uploads[number]]


def test_submit_come_back_collect_build(arguments, tmp_path, capsys):
    """6 requests: 4 replies and 1 refusal are kept, the outage is sent again, alone; then the folder is written.

    5 skills x 4 lines = 20 sentences.
    """
    Provider.statuses = {1: 400, 2: 500}
    batch = [*arguments, "--batch"]
    build.main(batch)
    said = capsys.readouterr().out
    assert "6 of 6 missing requests sent" in said
    assert f"python -m dataset_builder.build {arguments[0]}" in said
    assert len(Provider.uploads[0]) == SKILLS
    build.main(batch)
    assert "1 batches are not finished yet" in capsys.readouterr().out
    assert len(Provider.uploads) == 1
    Provider.done = True
    build.main(batch)
    assert "5 replies collected, 1 of 1 missing requests sent" in capsys.readouterr().out
    assert asked(1) == [asked(0)[2]]
    assert not (tmp_path / "d").exists()
    with pytest.raises(StageError, match=r"1 of 6 requests failed \(refused by the server: 1\)"):
        build.main(batch)
    build.main([*batch, "--most-failed", "1"])
    assert "20 pairs for 5 of 6 skills" in capsys.readouterr().out
    assert DatasetManifest.load(tmp_path / "d").tokens.requests == SKILLS
    with Journal(tmp_path / "d.journal.sqlite") as journal:
        assert [entry.kind for entry in journal.entries()].count(REFUSAL) == 1
    assert list(tmp_path.glob("*.batches.json")) == []
    build.main([*batch, "--most-failed", "1"])
    assert len(Provider.uploads) == 2


def test_a_second_round_is_collected_as_well(arguments, tmp_path):
    """4 lines a skill leave every skill short of 5: another 6 requests, whose batch is of a wider plan."""
    Provider.done = True
    batch = [*arguments, "--batch", "--at-least", "5", "--rounds", "1"]
    for _ in range(3):
        assert not (tmp_path / "d").exists()
        build.main(batch)
    assert [len(upload) for upload in Provider.uploads] == [SKILLS, SKILLS]
    assert DatasetManifest.load(tmp_path / "d").tokens.requests == 2 * SKILLS
    assert list(tmp_path.glob("*.batches.json")) == []


def test_a_batch_and_a_live_run_give_the_same_bytes(arguments, tmp_path):
    """The stub and the batch provider answer a request alike; the journals are then interchangeable."""
    Provider.done = True
    build.main([*arguments, "--batch"])
    build.main([*arguments, "--batch"])
    with StubServer() as server:
        live = [value.replace(str(tmp_path / "d"), str(tmp_path / "live")) for value in arguments]
        live[live.index("--base-url") + 1] = server.url
        build.main(live)
        assert server.requests == SKILLS
        # And what the batch has answered is not asked live.
        build.main([*live, "--journal", str(tmp_path / "d.journal.sqlite")])
        assert server.requests == SKILLS
    for name in ("pairs/train.parquet", "pairs/validation.parquet", "skills/skills.parquet"):
        assert (tmp_path / "live" / name).read_bytes() == (tmp_path / "d" / name).read_bytes()


def order_and_be_killed(arguments, monkeypatch, reached=True):
    """A step that ends without its batch's id, whether or not the order has reached the provider."""
    create = Batches.create

    def killed(self, **order):
        if reached:
            create(self, **order)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Batches, "create", killed)
        with pytest.raises(KeyboardInterrupt):
            build.main([*arguments, "--batch"])


@pytest.mark.parametrize("reached", [True, False])
def test_a_step_that_is_killed_while_it_orders_is_billed_once(arguments, monkeypatch, capsys, reached):
    """The order that has come is found by its input file; the one that has not is sent again."""
    order_and_be_killed(arguments, monkeypatch, reached)
    assert len(Provider.ordered) == reached
    build.main([*arguments, "--batch"])
    Provider.done = True
    build.main([*arguments, "--batch"])
    assert "24 pairs for 6 of 6 skills" in capsys.readouterr().out
    assert len(Provider.ordered) == 1


def test_a_provider_that_does_not_list_its_batches_is_asked_for_none(arguments, monkeypatch, tmp_path):
    order_and_be_killed(arguments, monkeypatch)
    Provider.lists = False
    with pytest.raises(StageError, match=r"lists none.* in place of 'input_file_id=file-1' into .*batches\.json"):
        build.main([*arguments, "--batch"])
    assert len(Provider.ordered) == 1
    (tmp_path / "d.journal.sqlite.batches.json").write_text('["batch-1"]')
    Provider.done = True
    build.main([*arguments, "--batch"])
    assert len(Provider.ordered) == 1


def test_what_is_on_its_way_is_not_asked_live(arguments):
    build.main([*arguments, "--batch"])
    with pytest.raises(StageError, match=r"batches are on their way .*Add --batch"):
        build.main(arguments)
    assert len(Provider.uploads) == 1


def test_replies_to_another_plan_are_not_lost(arguments, tmp_path, capsys):
    """Sent with seed 13 and collected with seed 14: the note stays, and the right options find the replies."""
    Provider.done = True
    build.main([*arguments, "--batch"])
    with pytest.raises(StageError, match="batch batch-1 holds 6 replies to another plan"):
        build.main([*arguments, "--batch", "--seed", "14"])
    build.main([*arguments, "--batch"])
    assert "24 pairs for 6 of 6 skills" in capsys.readouterr().out
    assert len(Provider.uploads) == 1


def test_a_budget_holds_for_batches_as_well(arguments, tmp_path, capsys):
    """A budget of what one request may use at most, 4 x 32 + 8 = 136 tokens written, sends one.

    What its reply leaves over does for some more, and then for none.
    """
    first = make_plan(read_taxonomy(tmp_path / "skills.csv"), {"styled": 4}).asks[0]
    budget = first.prompt_bytes + CHAT_TEMPLATE_TOKENS + 136
    Provider.done = True
    batch = [*arguments, "--batch", "--budget-tokens", str(budget)]
    build.main(batch)
    assert "1 of 6 missing requests sent" in capsys.readouterr().out
    while run_command(build.main, batch) == 0:
        assert sum(map(len, Provider.uploads)) < SKILLS
    assert "the budget ends before the next of" in capsys.readouterr().err
    sent = sum(map(len, Provider.uploads))
    assert 2 <= sent < SKILLS
    build.main([*arguments, "--journal-only"])
    tokens = DatasetManifest.load(tmp_path / "d").tokens
    assert tokens.requests == sent
    assert tokens.prompt_tokens + tokens.completion_tokens <= budget


def test_a_batch_that_failed_is_told_and_sent_again(arguments):
    build.main([*arguments, "--batch"])
    Provider.failed = "the file has too many lines"
    with pytest.raises(StageError, match="batch batch-1 failed: the file has too many lines"):
        build.main([*arguments, "--batch"])
    Provider.failed = ""
    build.main([*arguments, "--batch"])
    assert asked(1) == asked(0)


@pytest.mark.parametrize("status", [400, 404])
def test_a_no_to_every_request_is_an_error_and_not_kept(arguments, tmp_path, status):
    Provider.statuses, Provider.done = dict.fromkeys(range(SKILLS), status), True
    build.main([*arguments, "--batch"])
    with pytest.raises(StageError, match=rf"the server says no \({status}\)"):
        build.main([*arguments, "--batch"])
    with Journal(tmp_path / "d.journal.sqlite") as journal:
        assert len(journal) == 0
    build.main([*arguments, "--batch"])
    assert asked(1) == asked(0)


def test_an_empty_account_is_told_and_not_asked_again_at_once(arguments, tmp_path):
    """Two lines of six were answered before the money was gone: they are kept, and the next call sends four."""
    Provider.statuses, Provider.done = dict.fromkeys(range(2, SKILLS), 429), True
    Provider.error = {"message": "You exceeded your current quota", "type": "insufficient_quota"}
    build.main([*arguments, "--batch"])
    with pytest.raises(StageError, match=r"says no \(429\): .*current quota.*balance; replies are kept"):
        build.main([*arguments, "--batch"])
    assert len(Provider.uploads) == 1
    with Journal(tmp_path / "d.journal.sqlite") as journal:
        assert len(journal) == 2
    build.main([*arguments, "--batch"])
    assert len(asked(1)) == SKILLS - 2


def test_a_429_that_only_says_wait_is_asked_again(arguments):
    Provider.statuses, Provider.done = {1: 429}, True
    Provider.error = {"message": "Rate limit reached. See /account/billing", "code": "rate_limit_exceeded"}
    for _ in range(2):
        build.main([*arguments, "--batch"])
    assert len(asked(1)) == 1


def test_an_endpoint_that_says_no_is_one_line_without_the_key(arguments, capsys):
    Provider.no = 401
    assert run_command(build.main, [*arguments, "--batch"]) == EXIT_USER_ERROR
    error = capsys.readouterr().err.strip()
    assert "the batch endpoint says" in error
    assert "sk-secret" not in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("text", ["{", "[1]", '"batch-1"'])
def test_a_damaged_note_is_named(arguments, tmp_path, text):
    (tmp_path / "d.journal.sqlite.batches.json").write_text(text)
    with pytest.raises(StageError, match=r"batches\.json is no list of batch ids"):
        build.main([*arguments, "--batch"])


def test_a_damaged_output_is_named_and_collected_later(arguments, capsys):
    Provider.done, Provider.extra = True, ["<html>"]
    build.main([*arguments, "--batch"])
    with pytest.raises(StageError, match="line 7 of its output is not a JSON object"):
        build.main([*arguments, "--batch"])
    Provider.extra = []
    build.main([*arguments, "--batch"])
    assert "24 pairs" in capsys.readouterr().out
    assert len(Provider.uploads) == 1
