"""What the test Hub keeps: repositories with commits, branches and tags; contents as files in a temporary folder.

Content is addressed as on the real Hub: a git blob's SHA-1 for small text, SHA-256 for large files (LFS).
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from pathlib import Path

LFS_SUFFIXES = (".parquet", ".safetensors", ".onnx", ".png", ".bin", ".zip", ".gz", ".model")
GITATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES).encode()


class HubError(Exception):
    """A refusal with its HTTP status and the code that client libraries read from X-Error-Code."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


@dataclass(frozen=True)
class User:
    """Who a token belongs to, and what it may do; of its organisations some make repositories private by default."""

    name: str
    organisations: tuple[str, ...] = ()
    may_write: bool = True
    private_by_default: tuple[str, ...] = ()

    def owns(self, namespace: str) -> bool:
        return namespace == self.name or namespace in self.organisations


@dataclass(frozen=True)
class Entry:
    """A file of a commit. `sha256` names its content in the store."""

    sha1: str
    sha256: str
    size: int
    lfs: bool

    @property
    def oid(self) -> str:
        """What preupload compares: SHA-256 of LFS content, the git blob otherwise."""
        return self.sha256 if self.lfs else self.sha1


@dataclass(frozen=True)
class Commit:
    oid: str
    parent: str | None
    title: str
    files: dict[str, Entry]


@dataclass
class Repo:
    """One repository. `lfs` are the SHA-256 of content that was uploaded to it, committed or not."""

    id: str
    kind: str
    private: bool
    sdk: str | None = None
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    lfs: set[str] = field(default_factory=set)
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        return self.id.split("/")[0]

    @property
    def head(self) -> Commit:
        return self.commits[self.branches["main"]]

    def commit_at(self, revision: str) -> Commit:
        oid = self.branches.get(revision) or self.tags.get(revision) or revision
        oid = oid.removeprefix("refs/heads/").removeprefix("refs/tags/")
        if oid not in self.commits:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[oid]


class HubStore:
    """All repositories of a server. Every change happens under one lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.RLock()
        self.repos: dict[tuple[str, str], Repo] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def keep(self, content: bytes) -> str:
        """Store content under its SHA-256."""
        sha256 = hashlib.sha256(content).hexdigest()
        (self.folder / sha256).write_bytes(content)
        return sha256

    def content(self, sha256: str) -> bytes:
        return (self.folder / sha256).read_bytes()

    def create(self, kind: str, repo_id: str, private: bool, sdk: str | None) -> Repo:
        """A new repository with the first commit that the Hub makes."""
        with self.lock:
            if (kind, repo_id) in self.repos:
                raise HubError(409, f"You already created this {kind} repo")
            repo = self.repos[kind, repo_id] = Repo(repo_id, kind, private, sdk)
            files = {".gitattributes": self.entry(GITATTRIBUTES, lfs=False)}
            self._add_commit(repo, "initial commit", files)
            return repo

    def find(self, kind: str, repo_id: str) -> Repo:
        repo = self.repos.get((kind, repo_id))
        if repo is None:
            raise HubError(404, "Repository not found", "RepoNotFound")
        return repo

    def entry(self, content: bytes, lfs: bool) -> Entry:
        sha1 = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        return Entry(sha1, self.keep(content), len(content), lfs)

    def lfs_entry(self, repo: Repo, sha256: str) -> Entry:
        """A committed LFS file; its content must have been uploaded before."""
        if sha256 not in repo.lfs:
            raise HubError(400, f"LFS object {sha256} was not uploaded")
        size = (self.folder / sha256).stat().st_size
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
        sha1 = hashlib.sha1(b"blob %d\0" % len(pointer) + pointer).hexdigest()
        return Entry(sha1, sha256, size, lfs=True)

    def commit(
        self,
        repo: Repo,
        title: str,
        added: dict[str, Entry],
        deleted: set[str],
        parent: str | None,
        branch: str = "main",
    ) -> Commit:
        """One more commit on a branch, all of it or nothing."""
        with self.lock:
            head = repo.commit_at(branch)
            if parent is not None and parent != head.oid:
                raise HubError(412, "A commit has happened since. Please refresh and try again.")
            missing = deleted - head.files.keys()
            if missing:
                raise HubError(400, f"A file with this name doesn't exist: {sorted(missing)[0]}", "EntryNotFound")
            kept = {path: entry for path, entry in head.files.items() if path not in deleted}
            return self._add_commit(repo, title, {**kept, **added}, branch)

    def tag(self, repo: Repo, name: str, revision: str) -> None:
        with self.lock:
            if name in repo.tags:
                raise HubError(409, f"Tag reference {name} already exists")
            repo.tags[name] = repo.commit_at(revision).oid

    def _add_commit(self, repo: Repo, title: str, files: dict[str, Entry], branch: str = "main") -> Commit:
        parent = repo.branches.get(branch)
        text = f"{repo.kind} {repo.id} {parent} {title} {sorted((p, e.sha1) for p, e in files.items())}"
        commit = Commit(hashlib.sha1(text.encode()).hexdigest(), parent, title, files)
        repo.commits[commit.oid] = commit
        repo.branches[branch] = commit.oid
        return commit


def is_lfs(path: str, size: int) -> bool:
    """What preupload decides: by suffix as in .gitattributes, or beyond 10 MB."""
    return path.endswith(LFS_SUFFIXES) or size > 10_000_000
