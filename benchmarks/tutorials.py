"""Runs the tutorials of docs/tutorials and writes what they print and draw: ``python -m benchmarks.tutorials``.

With ``--check`` nothing is written: the program compares what the pages show with what their blocks print and draw.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import os
import re
import shlex
import sys
import tempfile
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image

from artasyn.cli.main import main as command

ROOT = Path(__file__).parent.parent
PAGES = sorted(path for path in (ROOT / "docs" / "tutorials").glob("*.md") if path.name != "index.md")
BLOCK = re.compile(r"```(python|bash|text)\n(.*?)```", flags=re.DOTALL)
PICTURE = re.compile(r"!\[[^\]]*\]\((\w+\.png)\)")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def run(page: Path) -> str:
    """Runs the blocks of a page in the current folder and returns the page with what they print."""
    printed, names = "", {"__name__": "__main__"}

    def result(block: re.Match[str]) -> str:
        nonlocal printed
        kind, source = block.groups()
        if kind == "text":
            return f"```text\n{printed}```"
        out, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            if kind == "python":
                exec(compile(source, str(page), "exec"), names)  # a page of this repository
            else:
                for line in source.splitlines():
                    if command(shlex.split(line)[1:]) > 1:  # 1: a file failed
                        raise RuntimeError(f"{page.name}: {line}\n{errors.getvalue()}")
        printed = out.getvalue()
        return block[0]

    return BLOCK.sub(result, page.read_text(encoding="utf-8"))


def faults(page: Path, text: str) -> list[str]:
    """What a page shows otherwise than a run in the current folder: words, numbers (by a tenth) and pictures."""
    shown = page.read_text(encoding="utf-8")
    found = []
    if NUMBER.sub("0", shown) != NUMBER.sub("0", text):
        found.append(f"{page.name} shows other words than its blocks print")
    else:
        for here, there in zip(NUMBER.findall(shown), NUMBER.findall(text), strict=True):
            if not math.isclose(float(here), float(there), rel_tol=0.1, abs_tol=0.05):
                found.append(f"{page.name} shows {here} where its blocks print {there}")
    for name in PICTURE.findall(shown):
        here, there = (cv2.imread(str(folder / name)) for folder in (page.parent, Path()))
        if there is None:
            found.append(f"{page.name} draws no {name}")
        elif here is None or here.shape != there.shape or np.abs(here.astype(float) - there).mean() > 8:
            found.append(f"{page.name} draws another {name} than it shows")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Runs every tutorial in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    parser.add_argument("--only", help="the name of one tutorial")
    options = parser.parse_args(arguments)
    matplotlib.use("Agg")
    found = []
    start = Path.cwd()
    for page in [page for page in PAGES if options.only in (None, page.stem)]:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                text = run(page)
                if options.check:
                    found += faults(page, text)
                else:
                    page.write_text(text, encoding="utf-8")
                    for name in PICTURE.findall(text):
                        Image.open(name).convert("RGB").quantize().save(page.parent / name, optimize=True)
            finally:
                os.chdir(start)
    print("\n".join(found) or "every page shows what its blocks print and draw")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
