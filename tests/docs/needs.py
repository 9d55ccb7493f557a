"""What the tests of the documentation need."""

from __future__ import annotations

import importlib.util

import pytest

TOOLS = ("mkdocs", "material", "mkdocstrings", "mmdr")
DOCS = [
    pytest.mark.docs,
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(importlib.util.find_spec(tool) for tool in TOOLS),
        reason='the documentation needs mkdocs and its parts: pip install ".[docs]"',
    ),
]
"""The marks of tests that run in an environment with the extra [docs]."""
