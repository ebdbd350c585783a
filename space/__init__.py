"""The page and the extractor; uploaded as it lies, so its modules import each other by their bare names."""

import sys
from pathlib import Path

# On a Space this folder is the root, and so already on the path; in the repository it is put there here.
sys.path.insert(0, str(Path(__file__).resolve().parent))
