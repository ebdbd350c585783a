"""Limits on the memory and time of this process: for those that read files from strangers and end with them."""

import sys

CPU_S = 10


def limit_this_process(memory_bytes: int) -> None:
    """From here on the system ends the process once it goes beyond `memory_bytes` or `CPU_S` seconds of work."""
    try:
        import resource

        # A signal that ends it leaves no image of its memory behind, which would hold the stranger's document.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        # The first limit ends it with a signal that says why, the second with the one that says nothing.
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 1))
    except (ImportError, ValueError):
        # Not on this system; the caller's time limit still holds.
        sys.setrecursionlimit(500)
