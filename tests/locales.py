"""What a machine whose file names are not UTF-8 cannot do: Python refuses such names there."""

import sys

import pytest

needs_utf8_names = pytest.mark.skipif(
    sys.getfilesystemencoding().lower() != "utf-8",
    reason="file names are not UTF-8 here (LC_ALL=C without Python's own coercion)",
)
needs_utf8_text = pytest.mark.skipif(
    sys.getfilesystemencoding().lower() != "utf-8",
    reason="axe-playwright-python reads its own script in the locale's encoding",
)
