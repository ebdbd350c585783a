"""Faults that the test Hub can be told to have: refusals, outages, connections cut in the middle."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field


@dataclass
class Fault:
    """What goes wrong, where and how often.

    Args:
        route: name of the route that fails, as in server.ROUTES ("commit", "lfs_put", ...).
        action: an HTTP status to answer with; "cut" reads half of the body and closes the connection; "lose" does the
            work and closes the connection before the answer; "short" sends half of an answer's body.
        skip: how many requests to the route pass first.
        times: how many fail then.
        path: only requests whose path this pattern finds.
        headers: sent with a status.
    """

    route: str
    action: int | str
    skip: int = 0
    times: int = 1
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    hits: int = 0


class FaultList:
    """The faults that are armed; each request asks once."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def arm(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Everything works again; what was armed must have struck."""
        with self._lock:
            missed = [fault for fault in self._faults if not fault.hits]
            self._faults.clear()
        assert not missed, f"never met: {missed}"

    def take(self, route: str, path: str) -> Fault | None:
        """The fault that this request meets."""
        with self._lock:
            for fault in self._faults:
                if fault.route != route or not re.search(fault.path, path):
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                elif fault.times > 0:
                    fault.times -= 1
                    fault.hits += 1
                    return fault
        return None
