"""A Hub of our own for tests: a real HTTP server that speaks what the client libraries call. See server.py."""

from tests.hub_server.faults import Fault
from tests.hub_server.server import HubServer
from tests.hub_server.store import HubStore, User

__all__ = ["Fault", "HubServer", "HubStore", "User"]
