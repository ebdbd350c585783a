"""dataset_builder.hub_publish against a real HTTP Hub: one commit, verified, tagged once, whatever goes wrong."""

import json
import shutil
import time
from dataclasses import replace

import pytest
from huggingface_hub import HfApi

from dataset_builder.contract import StageError
from dataset_builder.hub_files import collect_files
from dataset_builder.hub_publish import Version, publish
from tests.hub_server import Fault, HubServer, User

TOKEN = "hf_test"
REPO = "ann/things"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    users = {
        TOKEN: User("ann", organisations=("lab", "closed"), private_by_default=("closed",)),
        "hf_reader": User("ann", may_write=False),
        "hf_bob": User("bob"),
    }
    # The clients wait 1, 2, 4, 8, 8 seconds between tries; here their clock runs a hundred times as fast.
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, seconds / 100)))
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    with HubServer(tmp_path / "hub", users) as server:
        yield server


@pytest.fixture
def folder(tmp_path):
    """Version 1.0.0: a record, a card, two large files."""
    path = tmp_path / "things"
    (path / "data").mkdir(parents=True)
    (path / "README.md").write_text("---\nlicense: mit\n---\nThings of NAMESPACE/things.\n")
    (path / "record.json").write_text('{"version": "1.0.0"}')
    (path / "data" / "a.safetensors").write_bytes(b"a" * 5000)
    (path / "data" / "b.onnx").write_bytes(b"b" * 3000)
    return path


def next_version(folder):
    """Version 1.1.0: one file changed, one new, one gone, record and card changed."""
    (folder / "data" / "a.safetensors").write_bytes(b"A" * 6000)
    (folder / "data" / "b.onnx").unlink()
    (folder / "data" / "c.safetensors").write_bytes(b"c" * 7000)
    (folder / "record.json").write_text('{"version": "1.1.0"}')
    (folder / "README.md").write_text("---\nlicense: mit\n---\nMore things of NAMESPACE/things.\n")


def api_of(hub, token=TOKEN):
    return HfApi(endpoint=hub.url, token=token)


def send(hub, folder, tag="v1.0.0", token=TOKEN, repo_id=REPO, kind="model", private=False):
    files = collect_files(folder, repo_id.split("/")[0])
    sdk = "gradio" if kind == "space" else None
    return publish(Version(kind, repo_id, tag, "record.json", files, sdk), api_of(hub, token), private)


def try_to_send(hub, folder, tag="v1.0.0"):
    """Publish; where it fails, it fails with one line that holds no token."""
    try:
        send(hub, folder, tag)
    except StageError as error:
        message = str(error)
    else:
        return
    assert "\n" not in message
    assert TOKEN not in message


def contents(hub, revision, repo_id=REPO, kind="model"):
    """What anyone sees at a revision, read from the store itself."""
    files = hub.store.find(kind, repo_id).commit_at(revision).files
    return {path: hub.store.content(entry.sha256) for path, entry in files.items() if path != ".gitattributes"}


def expected(folder):
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found["README.md"] = found["README.md"].replace(b"NAMESPACE/", b"ann/")
    return found


@pytest.mark.parametrize("kind", ["model", "dataset", "space"])
def test_a_version_is_one_commit_with_its_tag(hub, folder, kind):
    outcome = send(hub, folder, kind=kind)
    repo = hub.store.find(kind, REPO)
    assert contents(hub, "v1.0.0", kind=kind) == expected(folder)
    assert repo.tags == {"v1.0.0": outcome.commit}
    assert [commit.title for commit in repo.commits.values()] == ["initial commit", "Version v1.0.0"]
    assert (outcome.sent, outcome.already_there) == (4, False)


def test_the_commit_names_its_parent(hub, folder):
    send(hub, folder)
    repo = hub.store.find("model", REPO)
    first = repo.head.oid
    next_version(folder)
    send(hub, folder, "v1.1.0")
    assert repo.head.parent == first
    assert contents(hub, "main") == contents(hub, "v1.1.0") == expected(folder)


def test_a_second_publish_sends_nothing(hub, folder):
    send(hub, folder)
    hub.log.clear()
    outcome = send(hub, folder)
    assert (outcome.sent, outcome.already_there) == (0, True)
    assert {entry.method for entry in hub.log} == {"GET"}


def test_only_what_changed_is_sent(hub, folder):
    send(hub, folder)
    (folder / "record.json").write_text('{"version": "1.0.1"}')
    hub.log.clear()
    assert send(hub, folder, "v1.0.1").sent == 1
    assert hub.requests_to("lfs_put") == []


def test_a_tag_with_other_content_is_refused_with_what_differs(hub, folder):
    send(hub, folder)
    tags = dict(hub.store.find("model", REPO).tags)
    next_version(folder)
    hub.log.clear()
    with pytest.raises(StageError, match=r"v1\.0\.0 is published with other content: README\.md, data/a.*data/b\.onnx"):
        send(hub, folder)
    assert hub.store.find("model", REPO).tags == tags
    assert {entry.method for entry in hub.log} == {"GET"}


def test_an_old_tag_may_be_published_again_after_a_newer_one(hub, folder, tmp_path):
    old = shutil.copytree(folder, tmp_path / "old")
    send(hub, folder)
    next_version(folder)
    send(hub, folder, "v1.1.0")
    assert send(hub, old, "v1.0.0").already_there
    assert contents(hub, "main") == expected(folder)


def test_a_name_taken_by_something_else_is_left_alone(hub, folder):
    api = api_of(hub)
    api.create_repo(REPO)
    api.upload_file(path_or_fileobj=b"novel", path_in_repo="novel.txt", repo_id=REPO)
    with pytest.raises(StageError, match=r"ann/things is taken.*--name"):
        send(hub, folder)
    assert contents(hub, "main") == {"novel.txt": b"novel"}


@pytest.mark.parametrize("tag", ["v1.0.0", "v1.1.0"])
def test_another_artifact_of_the_same_kind_is_not_replaced(hub, folder, tag):
    """`a` is there: `b` stays out under a new tag and under the same one, while `a`, or whoever names none, goes in."""

    def send_as(name, tag, identity):
        (folder / "record.json").write_text(json.dumps({"name": name, "version": tag}))
        files = collect_files(folder, "ann")
        return publish(Version("model", REPO, tag, "record.json", files, identity=identity), api_of(hub))

    send_as("a", "v1.0.0", "a")
    before = contents(hub, "main")
    with pytest.raises(StageError, match=r"ann/things holds 'a', and this is 'b'\. Name a repository with --name"):
        send_as("b", tag, "b")
    assert contents(hub, "main") == before
    assert send_as("a", "v1.2.0", "a").sent == 1
    assert send_as("b", "v1.3.0", "").sent == 1
    (folder / "record.json").write_text("no record of ours")
    send(hub, folder, "v1.4.0")
    assert send_as("b", "v1.5.0", "b").sent == 1


def test_a_repository_made_by_hand_is_used(hub, folder):
    api = api_of(hub)
    api.create_repo(REPO)
    api.upload_file(path_or_fileobj=b"hello", path_in_repo="README.md", repo_id=REPO)
    send(hub, folder)
    assert contents(hub, "v1.0.0") == expected(folder)


def test_private_means_unseen_by_others(hub, folder):
    send(hub, folder, private=True)
    assert hub.store.find("model", REPO).private
    with pytest.raises(StageError, match="may not write to ann/things"):
        send(hub, folder, token="hf_bob")


def test_an_organisation_that_is_private_by_default_stays_so(hub, folder):
    send(hub, folder, repo_id="closed/things")
    assert hub.store.find("model", "closed/things").private
    send(hub, folder)
    assert not hub.store.find("model", REPO).private


def test_an_organisation_is_a_namespace(hub, folder):
    send(hub, folder, repo_id="lab/things")
    assert b"lab/things" in contents(hub, "v1.0.0", "lab/things")["README.md"]


@pytest.mark.parametrize(
    ("token", "repo_id", "message"),
    [
        ("hf_wrong", REPO, r"does not accept the token\. Set HF_TOKEN"),
        ("hf_reader", REPO, r"may not write to ann/things\. Use a token with write access"),
        (TOKEN, "bob/things", r"may not write to bob/things"),
        (TOKEN, "ann/no spaces", "no name for a repository"),
    ],
)
def test_refusals_say_what_to_do(hub, folder, token, repo_id, message):
    with pytest.raises(StageError, match=message) as caught:
        send(hub, folder, token=token, repo_id=repo_id)
    assert token not in str(caught.value)
    assert ("model", repo_id) not in hub.store.repos


def test_someone_elses_tag_in_between_is_told(hub, folder):
    """Another publisher tags an older commit while ours is read back: the answer 409 is no success."""
    send(hub, folder)
    next_version(folder)
    repo = hub.store.find("model", REPO)
    first = repo.head.oid
    original = hub.store.tag

    def late(found, name, revision):
        original(found, name, first)
        original(found, name, revision)

    hub.store.tag = late
    with pytest.raises(StageError, match="set by someone else"):
        send(hub, folder, "v1.1.0")
    assert repo.tags["v1.1.0"] == first


# Every step fails in every way that it can: refused, broken off before and after the work, wrong content.
FAULTS = [
    Fault("refs", 500),
    Fault("refs", "cut"),
    Fault("refs", 429),
    Fault("tree", 500, times=9),
    Fault("tree", "short", times=9),
    Fault("preupload", 401),
    Fault("preupload", 500),
    Fault("preupload", "cut", times=9),
    Fault("lfs_batch", 403),
    Fault("lfs_batch", 429, headers={"Retry-After": "1"}),
    Fault("lfs_batch", "cut", times=9),
    Fault("lfs_put", "cut"),
    Fault("lfs_put", "cut", times=99),
    Fault("lfs_put", "lose", times=99),
    Fault("lfs_put", 403, skip=1),
    Fault("lfs_put", 500, times=99),
    Fault("lfs_verify", 404),
    Fault("validate_yaml", 500),
    Fault("commit", 401),
    Fault("commit", 404, headers={"X-Error-Code": "RepoNotFound"}),
    Fault("commit", 409),
    Fault("commit", 412),
    Fault("commit", 429),
    Fault("commit", 500),
    Fault("commit", "cut"),
    Fault("commit", "lose"),
    Fault("resolve", 404, skip=1),
    Fault("resolve", 500, times=99),
    Fault("cdn", "short"),
    Fault("cdn", "short", times=99),
    Fault("cdn", 403, times=99),
    Fault("tag", 500),
    Fault("tag", "cut"),
    Fault("tag", "lose"),
    Fault("tag", 409),
]


def name_of(fault):
    return f"{fault.route}-{fault.action}-{fault.times}"


@pytest.mark.parametrize("fault", FAULTS, ids=name_of)
def test_no_fault_shows_half_a_version_and_a_retry_finishes(hub, folder, fault):
    """After the fault the old version is as it was, main is one whole version, and the new tag is whole or absent."""
    send(hub, folder)
    old = expected(folder)
    next_version(folder)
    new = expected(folder)
    hub.faults.arm(replace(fault))
    try_to_send(hub, folder, "v1.1.0")
    repo = hub.store.find("model", REPO)
    assert contents(hub, "v1.0.0") == old
    assert contents(hub, "main") in (old, new)
    assert "v1.1.0" not in repo.tags or contents(hub, "v1.1.0") == new
    hub.faults.clear()
    send(hub, folder, "v1.1.0")
    assert contents(hub, "v1.1.0") == contents(hub, "main") == new
    assert [commit.title for commit in repo.commits.values()].count("Version v1.1.0") == 1
    assert send(hub, folder, "v1.1.0").already_there


@pytest.mark.parametrize("action", [401, 403, 409, 429, 500, "cut", "lose"])
def test_a_repository_that_could_not_be_made(hub, folder, action):
    hub.faults.arm(Fault("create_repo", action))
    try_to_send(hub, folder)
    hub.faults.clear()
    send(hub, folder)
    assert contents(hub, "v1.0.0") == expected(folder)


def test_what_came_back_wrong_gets_no_tag(hub, folder):
    """Storage hands out other bytes of the same length: found by hash, and no tag is set."""
    files = collect_files(folder, "ann").files
    sha256 = next(file.sha256 for file in files if file.path == "data/a.safetensors")
    keep = hub.store.content
    hub.store.content = lambda name: b"x" * 5000 if name == sha256 else keep(name)
    with pytest.raises(StageError, match=r"data/a\.safetensors came back .* no tag was set"):
        send(hub, folder)
    assert hub.store.find("model", REPO).tags == {}
    hub.store.content = keep
    send(hub, folder)
    assert contents(hub, "v1.0.0") == expected(folder)


def test_the_token_stays_on_the_hubs_own_host(hub, folder):
    """Storage is another host: it gets no token; and no URL ever holds one."""
    send(hub, folder)
    assert not any(entry.token for entry in hub.requests_to("lfs_put", "cdn"))
    assert hub.requests_to("lfs_put")
    assert not any(TOKEN in entry.path for entry in hub.log)
