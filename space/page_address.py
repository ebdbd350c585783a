"""An address and a port -> whether a page can be opened there, or why not."""

from __future__ import annotations

import errno
import socket

from skill_index import SkillFinderError


def check_address(host: str, port: int) -> None:
    """Make sure that a page can be opened there.

    Raises:
        SkillFinderError: the port is taken or none, or the address is not this machine's.
    """
    try:
        if not 0 <= port <= 65_535:
            raise OverflowError("there is no such port")
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, OverflowError) as error:
        if getattr(error, "errno", 0) == errno.EADDRINUSE:
            raise SkillFinderError(f"port {port} is in use. Choose another with --port") from None
        reason = getattr(error, "strerror", None) or error
        raise SkillFinderError(f"the page cannot be opened at {host}, port {port} ({reason})") from None
