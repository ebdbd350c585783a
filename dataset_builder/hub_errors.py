"""What can go wrong with the Hub -> one line for people, with the remedy; never a token, never a URL with one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
)

from dataset_builder.contract import StageError

_AGAIN = "Run the same command again: it goes on where it stopped, and the last version is as it was"
_LOGIN = "Set HF_TOKEN to a token with write access, or run `hf auth login`"
_REFUSALS = {
    400: ("the Hub refused {repo} as it is", "Run with --debug for its reason"),
    401: ("the Hub does not accept the token", _LOGIN),
    402: ("the Hub asks to be paid for {repo}", "Look at the account's billing page"),
    403: ("the token may not write to {repo}", "Use a token with write access there, or another --namespace"),
    404: ("{repo} is not there, or the token may not see it", "Check the name and the token"),
    409: ("{repo} is being changed by someone else", _AGAIN),
    412: ("{repo} got another commit meanwhile", "Run the same command again to publish on top of it"),
    413: ("the Hub finds a file of {repo} too large", "Publish fewer or smaller files"),
    429: ("the Hub limits how often it is asked", "Wait some minutes, then run the same command again"),
}


@contextmanager
def hub_errors(repo_id: str) -> Iterator[None]:
    """Turn every error of the client library into a StageError about `repo_id`.

    Raises:
        StageError: one line with the remedy.
    """
    try:
        yield
    except StageError:
        raise
    except (httpx2.HTTPError, RuntimeError, OSError, ValueError, LookupError) as error:
        explained = _explained(error, repo_id)
        if explained is None:
            raise
        raise explained from error


def _explained(error: BaseException, repo_id: str) -> StageError | None:
    """The line for an error of the client library; None for one that is not of the Hub, such as a full disk."""
    for cause in _chain(error):
        if isinstance(cause, LocalTokenNotFoundError):
            return StageError("no token for the Hub", _LOGIN)
        if isinstance(cause, HfHubHTTPError) and cause.response is not None:
            return _refused(cause.response.status_code, repo_id)
        if isinstance(cause, httpx2.HTTPError):
            return StageError(f"the connection to the Hub broke ({type(cause).__name__}) over {repo_id}", _AGAIN)
        if isinstance(cause, OfflineModeIsEnabled):
            return StageError("HF_HUB_OFFLINE is set", "Unset it to publish")
    if isinstance(error, HFValidationError):
        return StageError(f"{repo_id!r} is no name for a repository", "Use letters, digits, '-', '_' and '.'")
    if isinstance(error, LocalEntryNotFoundError | ValueError | LookupError) or "Consistency check" in str(error):
        return StageError(f"the Hub's answer about {repo_id} makes no sense ({type(error).__name__})", _AGAIN)
    return None


def _refused(status: int, repo_id: str) -> StageError:
    problem, remedy = _REFUSALS.get(status, ("the Hub failed with status {status} over {repo}", _AGAIN))
    return StageError(problem.format(repo=repo_id, status=status), remedy)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
