"""What each route of the Hub's API answers, but for downloads: one function a route, named by table.py."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any
from urllib.parse import parse_qs

from tests.hub_server.messages import Answer, Request
from tests.hub_server.store import Commit, Entry, HubError, is_lfs


def whoami(request: Request) -> Answer:
    user = request.user()
    if user is None:
        raise HubError(401, "Invalid username or password.")
    organisations = [{"name": name, "type": "org", "roleInOrg": "write"} for name in user.organisations]
    role = "write" if user.may_write else "read"
    auth = {"type": "access_token", "accessToken": {"displayName": "t", "role": role}}
    return Answer(body={"type": "user", "name": user.name, "orgs": organisations, "auth": auth})


def create_repo(request: Request) -> Answer:
    wanted = request.json
    user = request.user()
    namespace = wanted.get("organization") or (user.name if user else "")
    request.writer(namespace)
    repo_id, kind = f"{namespace}/{wanted['name']}", wanted.get("type") or "model"
    url = f"{request.url}/{'' if kind == 'model' else kind + 's/'}{repo_id}"
    try:
        default = "private" if user and namespace in user.private_by_default else "public"
        private = (wanted.get("visibility") or default) == "private" or bool(wanted.get("private"))
        request.store.create(kind, repo_id, private, wanted.get("sdk"))
    except HubError as error:
        return Answer(error.status, {"error": error.message, "url": url}, {"X-Error-Message": error.message})
    return Answer(body={"url": url, "name": repo_id})


def validate_yaml(_: Request) -> Answer:
    return Answer(body={"errors": [], "warnings": []})


def repo_info(request: Request, kinds: str, repo_id: str, revision: str = "main") -> Answer:
    repo = request.repo(kinds, repo_id)
    commit = repo.commit_at(revision)
    info = {
        "_id": "0" * 24, "id": repo.id, "author": repo.namespace, "sha": commit.oid, "private": repo.private,
        "disabled": False, "gated": False, "tags": [], "downloads": 0, "likes": 0,
        "lastModified": "2026-01-01T00:00:00.000Z", "createdAt": "2026-01-01T00:00:00.000Z",
        "siblings": [{"rfilename": path} for path in sorted(commit.files)],
    }  # fmt: skip
    if repo.kind == "space":
        info["sdk"] = repo.sdk
    return Answer(body=info)


def refs(request: Request, kinds: str, repo_id: str) -> Answer:
    repo = request.repo(kinds, repo_id)

    def listed(found: dict[str, str], kind: str) -> list[dict[str, str]]:
        return [{"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": oid} for name, oid in found.items()]

    return Answer(body={"branches": listed(repo.branches, "heads"), "converts": [], "tags": listed(repo.tags, "tags")})


def commits(request: Request, kinds: str, repo_id: str, revision: str) -> Answer:
    repo = request.repo(kinds, repo_id)
    commit: Commit | None = repo.commit_at(revision)
    found = []
    while commit is not None:
        found.append(
            {"id": commit.oid, "title": commit.title, "message": "", "authors": [], "date": "2026-01-01T00:00:00.000Z"}
        )
        commit = repo.commits[commit.parent] if commit.parent else None
    return Answer(body=found)


def tree(request: Request, kinds: str, repo_id: str, revision: str, folder: str = "") -> Answer:
    files = request.repo(kinds, repo_id).commit_at(revision).files
    prefix = f"{folder.strip('/')}/" if folder.strip("/") else ""
    inside = {path: entry for path, entry in files.items() if path.startswith(prefix)}
    if prefix and not inside:
        raise HubError(404, f"{folder} does not exist", "EntryNotFound")
    recursive = request.query.get("recursive", ["false"])[0].lower() in ("true", "1")
    found: dict[str, dict[str, Any]] = {}
    for path, entry in sorted(inside.items()):
        parents = path[len(prefix) :].split("/")[:-1]
        for depth in range(1, len(parents) + 1 if recursive else min(len(parents), 1) + 1):
            name = prefix + "/".join(parents[:depth])
            found.setdefault(name, _folder_info(name))
        if recursive or not parents:
            found[path] = _file_info(path, entry)
    return Answer(body=list(found.values()))


def paths_info(request: Request, kinds: str, repo_id: str, revision: str) -> Answer:
    files = request.repo(kinds, repo_id).commit_at(revision).files
    found = []
    for path in _form_or_json(request)["paths"]:
        wanted = path.strip("/")
        if wanted in files:
            found.append(_file_info(wanted, files[wanted]))
        elif any(name.startswith(f"{wanted}/") for name in files):
            found.append(_folder_info(wanted))
    return Answer(body=found)


def preupload(request: Request, kinds: str, repo_id: str, revision: str) -> Answer:
    repo = request.repo(kinds, repo_id)
    request.writer(repo.namespace)
    head = repo.commit_at(revision)
    found = []
    for file in request.json["files"]:
        path, known = file["path"], head.files.get(file["path"])
        mode = "lfs" if is_lfs(path, file["size"]) else "regular"
        found.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": known.oid if known else None})
    return Answer(body={"files": found, "commitOid": head.oid})


def lfs_batch(request: Request, prefix: str, repo_id: str) -> Answer:
    repo = request.repo(prefix.strip("/") or "models", repo_id)
    request.writer(repo.namespace)
    objects = []
    for wanted in request.json["objects"]:
        info: dict[str, Any] = {"oid": wanted["oid"], "size": wanted["size"]}
        if wanted["oid"] not in repo.lfs:
            place = f"{request.storage_url}/lfs-storage/{repo.kind}s/{repo.id}/{wanted['oid']}"
            verify = f"{request.url}/{prefix}{repo.id}.git/info/lfs/objects/verify"
            info["actions"] = {"upload": {"href": place}, "verify": {"href": verify}}
        objects.append(info)
    return Answer(body={"transfer": "basic", "objects": objects})


def lfs_put(request: Request, kinds: str, repo_id: str, sha256: str) -> Answer:
    """Signed storage: no token, and only content that is what its name says."""
    if hashlib.sha256(request.body).hexdigest() != sha256:
        raise HubError(400, "The content does not match its SHA-256")
    repo = request.store.find(kinds.removesuffix("s"), repo_id)
    request.store.keep(request.body)
    repo.lfs.add(sha256)
    return Answer(headers={"ETag": f'"{sha256}"'})


def lfs_verify(request: Request, prefix: str, repo_id: str) -> Answer:
    repo = request.repo(prefix.strip("/") or "models", repo_id)
    if request.json["oid"] not in repo.lfs:
        raise HubError(404, "No such LFS object")
    return Answer(body={})


def commit(request: Request, kinds: str, repo_id: str, revision: str) -> Answer:
    repo = request.repo(kinds, repo_id)
    request.writer(repo.namespace)
    lines = [json.loads(line) for line in request.body.splitlines() if line.strip()]
    header = next(line["value"] for line in lines if line["key"] == "header")
    added: dict[str, Entry] = {}
    deleted: set[str] = set()
    for line in lines:
        value = line["value"]
        if line["key"] == "file":
            added[value["path"]] = request.store.entry(base64.b64decode(value["content"]), lfs=False)
        elif line["key"] == "lfsFile":
            added[value["path"]] = request.store.lfs_entry(repo, value["oid"])
        elif line["key"] == "deletedFile":
            deleted.add(value["path"])
    made = request.store.commit(repo, header["summary"], added, deleted, header.get("parentCommit"), revision)
    return Answer(
        body={"success": True, "commitOid": made.oid, "commitUrl": f"{request.url}/{repo.id}/commit/{made.oid}"}
    )


def tag(request: Request, kinds: str, repo_id: str, revision: str) -> Answer:
    repo = request.repo(kinds, repo_id)
    request.writer(repo.namespace)
    request.store.tag(repo, request.json["tag"], revision)
    return Answer(201, {})


def variables(request: Request, repo_id: str) -> Answer:
    """Variables of a Space; a POST sets one."""
    repo = request.repo("spaces", repo_id)
    request.writer(repo.namespace)
    if request.method == "POST":
        repo.variables[request.json["key"]] = request.json["value"]
    return Answer(body={key: {"key": key, "value": value} for key, value in repo.variables.items()})


def not_there(_: Request) -> Answer:
    raise HubError(404, "No such route")


def _form_or_json(request: Request) -> dict[str, Any]:
    if request.headers.get("Content-Type", request.headers.get("content-type", "")).startswith("application/json"):
        return dict(request.json)
    return dict(parse_qs(request.body.decode()))


def _file_info(path: str, entry: Entry) -> dict[str, Any]:
    info: dict[str, Any] = {"type": "file", "path": path, "size": entry.size, "oid": entry.sha1}
    if entry.lfs:
        info["lfs"] = {"oid": entry.sha256, "size": entry.size, "pointerSize": 130}
    return info


def _folder_info(path: str) -> dict[str, Any]:
    return {"type": "directory", "path": path, "size": 0, "oid": hashlib.sha1(path.encode()).hexdigest()}
