"""The test Hub itself: what the client libraries rely on, and what they are refused."""

import httpx2
import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

from tests.hub_server import Fault, HubServer, User


@pytest.fixture
def hub(tmp_path):
    with HubServer(tmp_path, {"hf_ann": User("ann", ("lab",)), "hf_read": User("ann", may_write=False)}) as server:
        yield server


@pytest.fixture
def api(hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    return HfApi(endpoint=hub.url, token="hf_ann")


def test_whoami_lists_organisations(api):
    who = api.whoami()
    assert (who["name"], [org["name"] for org in who["orgs"]]) == ("ann", ["lab"])


def test_commit_upload_delete_and_history(api):
    api.create_repo("ann/m")
    api.create_commit(
        "ann/m", [CommitOperationAdd("a.txt", b"one"), CommitOperationAdd("w.onnx", b"w")], commit_message="1"
    )
    made = api.create_commit("ann/m", [CommitOperationDelete("a.txt")], commit_message="2")
    assert api.list_repo_files("ann/m") == [".gitattributes", "w.onnx"]
    assert [commit.title for commit in api.list_repo_commits("ann/m")] == ["2", "1", "initial commit"]
    assert api.repo_info("ann/m").sha == made.oid


def test_a_stale_parent_is_refused(api):
    api.create_repo("ann/m")
    old = api.repo_info("ann/m").sha
    api.create_commit("ann/m", [CommitOperationAdd("a.txt", b"1")], commit_message="1", parent_commit=old)
    with pytest.raises(HfHubHTTPError, match="412"):
        api.create_commit("ann/m", [CommitOperationAdd("a.txt", b"2")], commit_message="2", parent_commit=old)


def test_folders_and_paths(api):
    api.create_repo("ann/d", repo_type="dataset")
    files = [CommitOperationAdd(path, path.encode()) for path in ("a/b/c.txt", "a/d.txt", "e.txt")]
    api.create_commit("ann/d", files, commit_message="1", repo_type="dataset")

    def listed(**where):
        return [entry.path for entry in api.list_repo_tree("ann/d", repo_type="dataset", **where)]

    assert listed() == [".gitattributes", "a", "e.txt"]
    assert listed(path_in_repo="a") == ["a/b", "a/d.txt"]
    assert listed(recursive=True) == [".gitattributes", "a", "a/b", "a/b/c.txt", "a/d.txt", "e.txt"]
    found = api.get_paths_info("ann/d", ["a", "e.txt", "nothing"], repo_type="dataset")
    assert [entry.path for entry in found] == ["a", "e.txt"]


def test_tags_stay_where_they_are(api):
    api.create_repo("ann/m")
    api.create_tag("ann/m", tag="v1")
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_tag("ann/m", tag="v1")
    assert [tag.name for tag in api.list_repo_refs("ann/m").tags] == ["v1"]
    assert api.repo_info("ann/m", revision="v1").sha == api.repo_info("ann/m").sha
    with pytest.raises(RevisionNotFoundError):
        api.repo_info("ann/m", revision="v2")


def test_private_repositories_do_not_exist_for_others(hub, api):
    api.create_repo("ann/secret", private=True)
    assert api.repo_info("ann/secret").private
    with pytest.raises(RepositoryNotFoundError):
        HfApi(endpoint=hub.url, token=False).repo_info("ann/secret")


@pytest.mark.parametrize(("token", "status"), [(False, "401"), ("hf_nobody", "401"), ("hf_read", "403")])
def test_who_may_write(hub, token, status):
    with pytest.raises(HfHubHTTPError, match=status):
        HfApi(endpoint=hub.url, token=token).create_repo("ann/m")


def test_a_namespace_of_someone_else(api):
    with pytest.raises(HfHubHTTPError, match="403"):
        api.create_repo("bob/m")


def test_ranges_and_etags(hub, api):
    """Bytes 2 to 4 of 0123456789 are 234."""
    api.create_repo("ann/m")
    api.create_commit("ann/m", [CommitOperationAdd("a.txt", b"0123456789")], commit_message="1")
    url = f"{hub.url}/ann/m/resolve/main/a.txt"
    part = httpx2.get(url, headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content, part.headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    assert httpx2.get(url, headers={"Range": "bytes=7-"}).content == b"789"
    assert httpx2.get(url, headers={"Range": "bytes=10-"}).status_code == 416
    head = httpx2.head(url)
    assert head.headers["Content-Length"] == "10"
    # printf 0123456789 | git hash-object --stdin
    assert head.headers["ETag"] == '"ad471007bd7f5983d273b9584e5629230150fd54"'


def test_large_content_lies_on_another_host(hub, api):
    api.create_repo("ann/m")
    api.create_commit("ann/m", [CommitOperationAdd("w.onnx", b"weights")], commit_message="1")
    head = httpx2.head(f"{hub.url}/ann/m/resolve/main/w.onnx")
    assert head.status_code == 302
    assert head.headers["Location"].startswith("http://localhost:")
    assert head.headers["X-Linked-Size"] == "7"


def test_storage_takes_only_what_its_name_says(hub, api):
    api.create_repo("ann/m")
    assert httpx2.put(f"{hub.url}/lfs-storage/models/ann/m/{'0' * 64}", content=b"x").status_code == 400


def test_faults_strike_as_often_as_told(hub, api):
    hub.faults.arm(Fault("whoami", 500, skip=1, times=2))
    statuses = []
    for _ in range(4):
        try:
            api.whoami()
            statuses.append(200)
        except HfHubHTTPError as error:
            statuses.append(error.response.status_code)
    assert statuses == [200, 500, 500, 200]
    assert [entry.status for entry in hub.requests_to("whoami")] == statuses
    hub.faults.arm(Fault("tag", 500))
    with pytest.raises(AssertionError, match="never met"):
        hub.faults.clear()


def test_cut_and_lost_connections(hub, api):
    """Cut: nothing was made. Lost: it was made, and nobody was told."""
    hub.faults.arm(Fault("create_repo", "cut"))
    with pytest.raises(httpx2.HTTPError):
        api.create_repo("ann/m")
    assert hub.store.repos == {}
    hub.faults.arm(Fault("create_repo", "lose"))
    with pytest.raises(httpx2.HTTPError):
        api.create_repo("ann/m")
    assert list(hub.store.repos) == [("model", "ann/m")]
