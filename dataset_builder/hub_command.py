"""What the publish commands share: their options, the dry run, and the lines they print."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi

from dataset_builder.contract import StageError
from dataset_builder.hub import NAMESPACE, tag_of
from dataset_builder.hub_errors import hub_errors
from dataset_builder.hub_files import HubFiles, collect_files
from dataset_builder.hub_publish import Kind, Version, publish

_PREFIX = {"dataset": "datasets/", "model": "", "space": "spaces/"}


@dataclass(frozen=True)
class Artifact:
    """A folder that is to be published.

    `only`: the files to take, where not the whole folder. `model`: name of the model that a page runs on, in the
    publisher's namespace and at the same tag. `identity`: the name that its marker holds, "" where that is no record.
    """

    kind: Kind
    folder: Path
    version: str
    marker: str
    only: Sequence[str] | None = None
    sdk: str | None = None
    model: str = ""
    identity: str = ""


def add_publish_options(parser: argparse.ArgumentParser, name: str | None) -> None:
    """Add the options of every publish command; `name` is the repository's usual name, None where a record has it."""
    parser.add_argument("--namespace", help="user or organisation that publishes (default: who the token belongs to)")
    shown = name or "as its manifest says"
    parser.add_argument("--name", help=f"name of the repository (default: {shown})")
    parser.set_defaults(usual_name=name)
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--revision-tag", metavar="TAG", help="tag to set (default: the version of what is published)")
    parser.add_argument(
        "--dry-run", action="store_true", help="print every file, its size and the card; needs no token, sends nothing"
    )


@dataclass(frozen=True)
class Published:
    """Where an artifact now is, and the client that brought it there."""

    api: HfApi
    namespace: str
    repo_id: str
    tag: str


def run_publish(artifact: Artifact, options: argparse.Namespace) -> Published | None:
    """Publish an artifact as the options say, or print what would be.

    Returns:
        Where it is; None after a dry run.

    Raises:
        StageError: the tag contradicts the artifact's version, or publishing failed.
    """
    tag = tag_of(artifact.version)
    if options.revision_tag and tag_of(options.revision_tag) != tag:
        raise StageError(
            f"--revision-tag {options.revision_tag} contradicts the version {artifact.version} of {artifact.folder}",
            "Leave it out, or make the version that it names",
        )
    if options.dry_run:
        _print_plan(artifact, _files(artifact, options, options.namespace or NAMESPACE, tag), tag)
        return None
    api = HfApi()
    # A dry run needs no token, a real one fails here and not after minutes of hashing.
    with hub_errors("the account"):
        user = api.whoami()["name"]
    namespace = options.namespace or user
    files = _files(artifact, options, namespace, tag)
    repo_id = f"{namespace}/{options.name or options.usual_name}"
    # Whoever names the repository may replace what it holds.
    identity = "" if options.name else artifact.identity
    version = Version(artifact.kind, repo_id, tag, artifact.marker, files, artifact.sdk, identity)
    outcome = publish(version, api, options.private)
    place = f"{api.endpoint}/{_PREFIX[artifact.kind]}{repo_id}"
    if outcome.already_there:
        print(f"{repo_id} {tag} is published already, with this content: {place}")
    else:
        print(f"{repo_id} {tag}: {outcome.sent} of {len(files.files)} files sent, all read back the same: {place}")
    return Published(api, namespace, repo_id, tag)


def _files(artifact: Artifact, options: argparse.Namespace, namespace: str, tag: str) -> HubFiles:
    model = f"{namespace}/{artifact.model}@{tag}\n" if artifact.model else ""
    renamed = {options.usual_name: options.name} if options.name else {}
    return collect_files(artifact.folder, namespace, artifact.only, tag, model, renamed)


def _print_plan(artifact: Artifact, files: HubFiles, tag: str) -> None:
    width = max(len(file.path) for file in files.files)
    print(f"Would publish {artifact.folder} as a {artifact.kind} with the tag {tag}:")
    for file in files.files:
        print(f"  {file.path:<{width}}  {file.size:>12,} bytes")
    print(f"  {len(files.files)} files, {files.size:,} bytes")
    for path in files.left_out:
        print(f"  left out: {path}")
    card = next(file for file in files.files if file.path == "README.md")
    print(f"{os.linesep}README.md:{os.linesep}{card.read().decode('utf-8')}")
