"""What the README says is so: its examples run, its picture is there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from artasyn.files.radiograph import write_image
from tests.chest import chest
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
EXAMPLES = {kind: [text for k, text in BLOCKS if k == kind] for kind in ("bash", "python")}


EACH = """
import shlex, sys
from artasyn.cli.main import main
for kind, block in zip(sys.argv[1::2], sys.argv[2::2]):
    if kind == "python":
        exec(compile(block, block, "exec"), {"__name__": "__main__"})
    else:
        for line in block.splitlines():
            program, *arguments = shlex.split(line, comments=True)
            assert program == "artasyn", line
            status = main(arguments)
            assert not status, (line, status)
"""
"""Runs every example as if alone, in one process."""


def run(examples: list[tuple[str, str]], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "LOKY_MAX_CPU_COUNT": "1"}  # no pools to start
    command = [sys.executable, "-c", EACH, *(part for example in examples for part in example)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


def write_cts(folder: Path) -> None:
    """A CT with its labels and their names, alone and in a collection."""
    volume = chest(length=320.0)
    labels = np.zeros(volume.hu.shape, np.uint8)
    names = ["id,name"]
    for number, (name, structure) in enumerate(volume.structures.items(), 1):
        labels[structure.box][structure.mask] = number
        names.append(f"{number},{name}")
    (folder / "names.csv").write_text("\n".join(names))
    (folder / "cts").mkdir()
    (folder / "labels").mkdir()
    for values, files in ((volume.hu, ("ct.nii.gz", "cts/a.nii.gz")), (labels, ("labels.nii.gz", "labels/a.nii.gz"))):
        for file in files:
            nibabel.save(nibabel.Nifti1Image(values, volume.affine), folder / file)


@pytest.mark.slow
def test_the_uses_run_as_they_stand_but_for_a_shorter_training(phantoms: Path, tmp_path: Path) -> None:
    from artasyn.phantom.film import Phantom

    shutil.copytree(phantoms, tmp_path / "data")
    shutil.copytree(phantoms / "train/healthy", tmp_path / "normals")
    write_image(tmp_path / "normals" / "film.png", Phantom(size=128)(21).image)
    write_image(tmp_path / "films" / "film.png", Phantom(size=128)(22, lesions=True).image)
    for seed in range(20):
        write_image(tmp_path / "healthy" / f"{seed}.png", Phantom(size=96)(700 + seed).image)
    write_cts(tmp_path)
    _, benchmark, augmenting, projecting, imagining = EXAMPLES["bash"]
    shorter = benchmark.replace(
        "--out training ", "--out training --start null --encoder test_resnet --epochs 1 --size 64 "
    )
    assert shorter != benchmark
    fewer = projecting.replace("--randomise 50", "--randomise 1 --pixel 2")
    assert fewer != projecting
    *loops, detecting, remaking, from_ct, imagined, reading = EXAMPLES["python"]
    assert len(loops) == 3
    commands = [("bash", block) for block in (shorter, augmenting, fewer, imagining)]
    done = run(
        [*commands, *(("python", block) for block in (*loops, detecting, remaking, from_ct, imagined, reading))],
        tmp_path,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for file in (
        "evaluation/report.html",
        "detections/scores.csv",
        "lungs/sheet-1.png",
        "synthetic/manifest.csv",
        "projected/sheet-1.png",
        "imagined/manifest.csv",
    ):
        assert (tmp_path / file).is_file(), file


def test_the_two_commands_are_those_that_are_tested() -> None:
    commands = EXAMPLES["bash"][0]
    assert "pip install . && artasyn demo" in commands
    assert 'pip install ".[test]" && pytest' in commands
    assert "pytest" in (ROOT / ".ci" / "run").read_text()


def test_every_picture_is_in_the_repository() -> None:
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert pictures
    for picture in pictures:
        assert (ROOT / picture).read_bytes().startswith(b"\x89PNG")
