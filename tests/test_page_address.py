"""Where the page is opened: a port that is taken and an address of another machine are told apart."""

import socket

import pytest

from page_address import check_address
from skill_finder import SkillFinderError


def test_a_free_port_is_fine():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    check_address("127.0.0.1", port)


def test_a_port_that_is_taken_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SkillFinderError, match=f"port {port} is in use. Choose another with --port"):
            check_address("127.0.0.1", port)


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 7860), ("no such host", 7860), ("127.0.0.1", 70_000)])
def test_an_address_that_is_not_ours_is_named(host, port):
    with pytest.raises(SkillFinderError, match=f"cannot be opened at {host}, port {port}"):
        check_address(host, port)
