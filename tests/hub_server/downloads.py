"""Reading files from the test Hub: resolve, signed storage, ranges."""

from __future__ import annotations

import re

from tests.hub_server.messages import Answer, Request


def resolve(request: Request, prefix: str, repo_id: str, revision: str, path: str) -> Answer:
    repo = request.repo(prefix.strip("/") or "models", repo_id)
    found = repo.commit_at(revision)
    entry = found.files.get(path)
    if entry is None:
        error = Answer(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": found.oid})
        return error
    headers = {"X-Repo-Commit": found.oid, "ETag": f'"{entry.oid}"', "Accept-Ranges": "bytes"}
    if entry.lfs:
        headers |= {"X-Linked-Etag": f'"{entry.sha256}"', "X-Linked-Size": str(entry.size)}
        headers["Location"] = f"{request.storage_url}/cdn/{entry.sha256}"
        return Answer(302, b"", headers)
    return _content(request, request.store.content(entry.sha256), headers)


def cdn(request: Request, sha256: str) -> Answer:
    """Signed storage: content by its hash, without a token, with ranges."""
    return _content(request, request.store.content(sha256), {"ETag": f'"{sha256}"', "Accept-Ranges": "bytes"})


def _content(request: Request, content: bytes, headers: dict[str, str]) -> Answer:
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", request.headers.get("range", "")))
    if wanted is None:
        return Answer(200, content, headers)
    start, end = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
    if start >= len(content):
        return Answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
    return Answer(206, content[start : end + 1], {**headers, "Content-Range": f"bytes {start}-{end}/{len(content)}"})
