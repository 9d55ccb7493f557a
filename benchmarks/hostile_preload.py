"""What the processes of `benchmarks.hostile` share: slow imports, made once in the process that they are forked from."""

from __future__ import annotations

import SimpleITK  # noqa: F401

import artasyn.commands.cli
import artasyn.commands.project
import artasyn.commands.segment
import artasyn.commands.synthesise
import artasyn.commands.train
import artasyn.detection.detector
import artasyn.detection.network
import artasyn.testsets.layouts
import benchmarks.hostile_cases
import tests.catalogue
import tests.testsets.builders  # noqa: F401
