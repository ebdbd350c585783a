"""Bytes of a PDF on stdin -> its text on stdout. Run as a process of its own by documents.py.

Exit code 3: locked with a password; 4: too many pages; anything else but 0: damaged, or beyond its limits.
"""

import io
import logging
import sys

from process_limits import limit_this_process

MAX_PAGES = 50
MAX_CHARS = 150_000
MEMORY_BYTES = 1024**3


def main() -> int:
    """Read, limit, write."""
    limit_this_process(MEMORY_BYTES)
    from pypdf import PdfReader
    from pypdf.errors import DependencyError

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    data = io.BytesIO(sys.stdin.buffer.read())
    try:
        reader = PdfReader(data)
        if reader.is_encrypted and not reader.decrypt(""):
            return 3
    except DependencyError:
        # Locked in a way that this installation cannot unlock.
        return 3
    if len(reader.pages) > MAX_PAGES:
        return 4
    written = 0
    for page in reader.pages:
        text = page.extract_text()
        sys.stdout.buffer.write(text.encode("utf-8", errors="replace") + b"\n")
        written += len(text)
        if written > MAX_CHARS:
            break
    return 0


if __name__ == "__main__":
    sys.exit(main())
