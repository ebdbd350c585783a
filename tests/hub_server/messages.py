"""A request as the routes see it, with who asks and what they may, and the answer that they give."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tests.hub_server.store import HubError, HubStore, Repo, User


@dataclass(frozen=True)
class Request:
    """What a route sees of a request."""

    store: HubStore
    url: str
    users: dict[str, User]
    token: str | None
    method: str
    body: bytes
    query: dict[str, list[str]]
    headers: dict[str, str]

    @property
    def storage_url(self) -> str:
        """Where content lies: another host than the API, so that clients must keep their token from it."""
        return self.url.replace("127.0.0.1", "localhost")

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def user(self) -> User | None:
        """Who asks; a token that nobody has is refused everywhere, as on the Hub."""
        if self.token is None:
            return None
        if self.token not in self.users:
            raise HubError(401, "Invalid credentials in Authorization header")
        return self.users[self.token]

    def repo(self, kinds: str, repo_id: str) -> Repo:
        """A repository that the user may read; private ones do not exist for others."""
        user = self.user()
        kind = kinds.removesuffix("s")
        known = self.store.repos.get((kind, repo_id))
        if known is None or (known.private and not (user and user.owns(known.namespace))):
            status = 404 if user else 401
            raise HubError(status, "Repository not found", "RepoNotFound")
        return known

    def writer(self, namespace: str) -> User:
        user = self.user()
        if user is None:
            raise HubError(401, "Unauthorized")
        if not user.may_write:
            raise HubError(403, "Forbidden: you must use a write token to upload to a repository")
        if not user.owns(namespace):
            raise HubError(403, f"You don't have the rights to write under the namespace {namespace!r}")
        return user


@dataclass(frozen=True)
class Answer:
    """Status, JSON value or raw bytes, headers; `length` where a HEAD says more than the body it sends."""

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
