"""What the processes of `benchmarks.hostile` share: slow imports, made once, in the process they are forked from."""

from __future__ import annotations

import SimpleITK  # noqa: F401

import tests.catalogue
import tests.testsets.builders  # noqa: F401
