"""What the processes of `benchmarks.hostile` share: slow imports, made once, in the process they are forked from."""

from __future__ import annotations

import importlib

MODULES = (
    "SimpleITK",
    "artasyn.cli.main",
    "artasyn.commands.project",
    "artasyn.commands.segment",
    "artasyn.commands.synthesise",
    "artasyn.commands.models.train",
    "artasyn.detection.detector",
    "artasyn.detection.network",
    "artasyn.testsets.layouts",
    "benchmarks.hostile_cases",
    "tests.catalogue",
    "tests.testsets.builders",
)

for name in MODULES:
    importlib.import_module(name)
