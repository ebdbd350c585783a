"""Files and a tag -> one version on the Hub: one commit, verified by download, then a tag that never moves.

Safe to repeat: each step looks at what is there. A version is visible by its tag only when all of it was read back,
and the main branch goes from one whole version to the next in one commit.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import RepositoryNotFoundError

from dataset_builder.contract import StageError, sha256_of_file
from dataset_builder.hub_errors import hub_errors
from dataset_builder.hub_files import HubFile, HubFiles

Kind = Literal["dataset", "model", "space"]
# Made by the Hub with every repository.
_OF_THE_HUB = frozenset({".gitattributes"})
_OF_A_NEW_REPO = frozenset({".gitattributes", "README.md"})
_SHOWN = 5


@dataclass(frozen=True)
class Version:
    """What is to be published.

    `marker`: a file that every version of this artifact has. `identity`: the name in it, which the marker on the Hub
    must have as well; "" where any may be there.
    """

    kind: Kind
    repo_id: str
    tag: str
    marker: str
    files: HubFiles
    sdk: str | None = None
    identity: str = ""


@dataclass(frozen=True)
class Outcome:
    """What publishing did: how many files were sent, and whether the tag was there already."""

    commit: str
    sent: int
    already_there: bool


@dataclass(frozen=True)
class _Head:
    """The repository as it is: commits of its main branch and of its tags."""

    commit: str
    tags: dict[str, str]


def publish(version: Version, api: HfApi, private: bool = False) -> Outcome:
    """Bring a version to the Hub, or finish what an earlier call began.

    Args:
        version: files and names.
        api: a client with a token that may write.
        private: for a repository that does not exist yet; where False the account's default counts.

    Raises:
        StageError: no right to write, the name or the tag is taken, the Hub failed, or what came back differs.
    """
    with hub_errors(version.repo_id):
        head = _open_repo(version, api, private)
        commit = head.tags.get(version.tag, head.commit)
        there = _listing(version, api, commit)
        changed, gone = _changed(version, there), _gone(version, there)
        if (changed or gone) and version.marker in there:
            _refuse_other_artifact(version, api, commit)
        if version.tag in head.tags:
            _refuse_other_content(version, there)
            return Outcome(commit, sent=0, already_there=True)
        _refuse_foreign(version, there)
        if changed or gone:
            commit = _commit(version, api, commit, changed, gone)
        _verify(version, api, commit)
        _set_tag(version, api, commit)
        return Outcome(commit, sent=len(changed), already_there=False)


def what_is_published(version: Version, api: HfApi, compare: bool = True) -> str:
    """Look at a version's tag on the Hub without changing anything.

    Args:
        version: files and names; only names where not `compare`.
        api: a client; it needs a token for private repositories only.
        compare: hold the files under the tag against those of `version`.

    Returns:
        "" where the tag is there with this content, else what is wrong with it.
    """
    with hub_errors(version.repo_id):
        try:
            tags = _read_head(version, api).tags
        except RepositoryNotFoundError:
            return "there is no such repository"
        if version.tag not in tags:
            return f"{version.tag} is not published"
        if compare:
            try:
                _refuse_other_content(version, _listing(version, api, tags[version.tag]))
            except StageError as error:
                return error.problem
    return ""


def _open_repo(version: Version, api: HfApi, private: bool) -> _Head:
    try:
        return _read_head(version, api)
    except RepositoryNotFoundError:
        # False would make it public in an organisation whose repositories are private by default.
        wanted = private or None
        api.create_repo(version.repo_id, repo_type=version.kind, private=wanted, exist_ok=True, space_sdk=version.sdk)
        return _read_head(version, api)


def _read_head(version: Version, api: HfApi) -> _Head:
    refs = api.list_repo_refs(version.repo_id, repo_type=version.kind)
    main = next((branch.target_commit for branch in refs.branches if branch.name == "main"), None)
    if main is None:
        raise StageError(f"{version.repo_id} has no branch main", "Make one on its page, or choose another name")
    return _Head(main, {tag.name: tag.target_commit for tag in refs.tags})


def _listing(version: Version, api: HfApi, commit: str) -> dict[str, str]:
    """Hash of every file of a commit by path: SHA-256 for large files, git's SHA-1 for the others."""
    tree = api.list_repo_tree(version.repo_id, repo_type=version.kind, revision=commit, recursive=True)
    return {
        entry.path: entry.lfs.sha256 if entry.lfs else entry.blob_id
        for entry in tree
        if hasattr(entry, "blob_id") and entry.path not in _OF_THE_HUB
    }


def _changed(version: Version, there: dict[str, str]) -> list[HubFile]:
    return [file for file in version.files.files if there.get(file.path) not in (file.sha256, file.git_sha1)]


def _gone(version: Version, there: dict[str, str]) -> list[str]:
    return sorted(there.keys() - {file.path for file in version.files.files})


def _refuse_other_content(version: Version, there: dict[str, str]) -> None:
    differing = [file.path for file in _changed(version, there)] + _gone(version, there)
    if differing:
        more = f" and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
        raise StageError(
            f"{version.repo_id} {version.tag} is published with other content: "
            f"{', '.join(differing[:_SHOWN])}{more} differ",
            "A tag never moves: give the new content a new version",
        )


def _refuse_foreign(version: Version, there: dict[str, str]) -> None:
    if there.keys() - _OF_A_NEW_REPO and version.marker not in there:
        raise StageError(
            f"{version.repo_id} is taken: it holds something else (no {version.marker})",
            "Choose another name with --name",
        )


def _refuse_other_artifact(version: Version, api: HfApi, commit: str) -> None:
    if not version.identity:
        return
    with tempfile.TemporaryDirectory(prefix="published-") as folder:
        path = api.hf_hub_download(
            version.repo_id, version.marker, repo_type=version.kind, revision=commit, local_dir=folder
        )
        try:
            name = json.loads(Path(path).read_text(encoding="utf-8"))["name"]
        except (ValueError, KeyError, TypeError):
            return
    if name != version.identity:
        raise StageError(
            f"{version.repo_id} holds {name!r}, and this is {version.identity!r}",
            "Name a repository with --name: another one, or this one if it is to be replaced",
        )


def _commit(version: Version, api: HfApi, parent: str, changed: list[HubFile], gone: list[str]) -> str:
    additions = [
        CommitOperationAdd(file.path, file.content if isinstance(file.content, bytes) else str(file.content))
        for file in changed
    ]
    names = {"repo_id": version.repo_id, "repo_type": version.kind}
    with warnings.catch_warnings():
        # The client wonders at a Parquet file in a model repository; the label index is one.
        warnings.filterwarnings("ignore", message="It seems that you are about to commit a data file")
        api.preupload_lfs_files(additions=additions, revision="main", free_memory=False, **names)
        made = api.create_commit(
            operations=[*additions, *map(CommitOperationDelete, gone)],
            commit_message=f"Version {version.tag}",
            parent_commit=parent,
            **names,
        )
    return str(made.oid)


def _verify(version: Version, api: HfApi, commit: str) -> None:
    """Read every file back and hash it.

    Raises:
        StageError: a file differs or is missing; the version then has no tag.
    """
    with tempfile.TemporaryDirectory(prefix="published-") as folder:
        api.snapshot_download(version.repo_id, repo_type=version.kind, revision=commit, local_dir=folder)
        for file in version.files.files:
            copy = Path(folder, file.path)
            if not copy.is_file() or sha256_of_file(copy) != file.sha256:
                raise StageError(
                    f"{file.path} came back from {version.repo_id} with other content, so no tag was set",
                    "Run the same command again",
                )


def _set_tag(version: Version, api: HfApi, commit: str) -> None:
    api.create_tag(version.repo_id, tag=version.tag, revision=commit, repo_type=version.kind, exist_ok=True)
    # Someone else may have set it in between: what counts is where it stands now.
    at = _read_head(version, api).tags.get(version.tag)
    if at != commit:
        raise StageError(f"{version.repo_id} {version.tag} was set by someone else meanwhile", "Compare, and run again")
