"""Which path belongs to which route. Repository names and revisions are one quoted part each; the first match wins."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.hub_server import downloads, routes
from tests.hub_server.messages import Answer

_KINDS = r"/api/(models|datasets|spaces)"
_PREFIX = r"/(datasets/|spaces/)?"
_REPO = r"([^/]+/[^/]+?)"
_REVISION = r"([^/]+)"


@dataclass(frozen=True)
class Route:
    """A name for faults and logs, and the function that answers; groups of the pattern are its arguments."""

    name: str
    method: str
    pattern: re.Pattern[str]
    answer: Callable[..., Answer]


def _route(name: str, method: str, pattern: str, answer: Callable[..., Answer]) -> Route:
    return Route(name, method, re.compile(pattern), answer)


ROUTES = [
    _route("whoami", "GET", "/api/whoami-v2", routes.whoami),
    _route("create_repo", "POST", "/api/repos/create", routes.create_repo),
    _route("validate_yaml", "POST", "/api/validate-yaml", routes.validate_yaml),
    _route("preupload", "POST", f"{_KINDS}/{_REPO}/preupload/{_REVISION}", routes.preupload),
    _route("commit", "POST", f"{_KINDS}/{_REPO}/commit/{_REVISION}", routes.commit),
    _route("tag", "POST", f"{_KINDS}/{_REPO}/tag/{_REVISION}", routes.tag),
    _route("refs", "GET", f"{_KINDS}/{_REPO}/refs", routes.refs),
    _route("commits", "GET", f"{_KINDS}/{_REPO}/commits/{_REVISION}", routes.commits),
    _route("tree", "GET", f"{_KINDS}/{_REPO}/tree/{_REVISION}(/.*)?", routes.tree),
    _route("paths_info", "POST", f"{_KINDS}/{_REPO}/paths-info/{_REVISION}", routes.paths_info),
    _route("variables", "GET", f"/api/spaces/{_REPO}/variables", routes.variables),
    _route("variables", "POST", f"/api/spaces/{_REPO}/variables", routes.variables),
    _route("info", "GET", f"{_KINDS}/{_REPO}/revision/{_REVISION}", routes.repo_info),
    _route("info", "GET", f"{_KINDS}/{_REPO}", routes.repo_info),
    _route("lfs_batch", "POST", rf"{_PREFIX}{_REPO}\.git/info/lfs/objects/batch", routes.lfs_batch),
    _route("lfs_verify", "POST", rf"{_PREFIX}{_REPO}\.git/info/lfs/objects/verify", routes.lfs_verify),
    _route("lfs_put", "PUT", f"/lfs-storage/(models|datasets|spaces)/{_REPO}/([0-9a-f]+)", routes.lfs_put),
    _route("cdn", "GET", "/cdn/([0-9a-f]+)", downloads.cdn),
    _route("cdn", "HEAD", "/cdn/([0-9a-f]+)", downloads.cdn),
    _route("resolve", "GET", f"{_PREFIX}{_REPO}/resolve/{_REVISION}/(.*)", downloads.resolve),
    _route("resolve", "HEAD", f"{_PREFIX}{_REPO}/resolve/{_REVISION}/(.*)", downloads.resolve),
]
UNKNOWN = _route("unknown", "", "", routes.not_there)


def find_route(method: str, path: str) -> tuple[Route, tuple[str, ...]]:
    """The route of a request and the parts of its path; UNKNOWN answers 404."""
    for route in ROUTES:
        if route.method == method and (match := route.pattern.fullmatch(path)):
            return route, tuple(part or "" for part in match.groups())
    return UNKNOWN, ()
