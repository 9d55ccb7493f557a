"""Fixtures that all tests share: the repository's root, real radiographs, phantoms and a short training.

Worker processes import this file for `ROOT`, so each fixture imports what it needs itself.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from artasyn.segment.ct.volume import Volume

ROOT = Path(__file__).parent.parent

# Compiled modules are kept: otherwise every worker and every command in a subprocess compiles all of them again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Each of several workers computes on one thread: more threads than cores wait for each other. Workers inherit this.
os.environ.setdefault("OMP_NUM_THREADS", "1")

LONGEST = (
    "tests/training/test_run.py",
    "tests/bulk/test_survival.py",
    "tests/detection/test_onnx_export.py",
    "tests/commands/test_tokens.py",
    "tests/test_readme.py",
    "tests/commands/test_evaluate.py",
    "tests/benchmarks/test_hostile.py",
    "tests/synthesis/test_batch.py",
    "tests/training/test_checkpoints.py",
    "tests/commands/test_synthesise.py",
    "tests/commands/test_project.py",
    "tests/cli/test_stops.py",
    "tests/commands/test_dicom.py",
    "tests/transforms/test_pipelines.py",
    "tests/segment/pbtseg/test_pose.py",
    "tests/detection/test_recalibration.py",
    "tests/test_realdata.py",
    "tests/commands/test_demo.py",
)
"""The slowest test files, slowest first."""

Shared = Callable[[str, Callable[[Path], None]], Path]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Moves the slowest files to the front, so that no worker waits for a slow file at the end.

    Tests marked `extras` take minutes together; they run where `-m` names them.
    """
    rank = {ROOT / file: number for number, file in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))
    if "extras" not in config.option.markexpr:
        for item in items:
            if item.get_closest_marker("extras"):
                item.add_marker(pytest.mark.skip(reason="takes long; runs with pytest -m extras"))


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Shared:
    """Makes a folder once for all worker processes: the first worker makes the folder, the others wait.

    Source: the documentation of pytest-xdist, on fixtures that must run only once.
    """
    from filelock import FileLock

    def folder_made_by(name: str, make: Callable[[Path], None]) -> Path:
        if not hasattr(request.config, "workerinput"):  # no worker processes, so nothing is shared
            folder = tmp_path_factory.mktemp(name)
            make(folder)
            return folder
        root = tmp_path_factory.getbasetemp().parent
        folder, made = root / name, root / f"{name}.made"
        with FileLock(root / f"{name}.lock"):
            if not made.exists():
                shutil.rmtree(folder, ignore_errors=True)  # a worker that failed may have left a part
                make(folder)
                made.touch()
        return folder

    return folder_made_by


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real radiographs; skips the test where the folder is missing, and says how to provide it."""
    folder = Path(os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real radiographs at {folder}; set ARTASYN_DATA to the folder that holds them")
    return folder


@pytest.fixture(scope="session")
def real_ct(data: Path) -> Volume:
    """A real CT with its structures, without the table."""
    from artasyn.segment.ct.volume import Volume

    ct = data / "ct"
    return Volume.read(ct / "lidc_0001.nii.gz", ct / "lidc_0001_labels.nii.gz", ct / "structures.csv")


@pytest.fixture(scope="session")
def phantoms(shared: Shared) -> Path:
    """A small data set of phantoms: train/healthy, test/healthy, test/diseased, ground_truth, lungs."""
    from artasyn.commands.demo import write_phantoms

    def make(folder: Path) -> None:
        write_phantoms(folder, seed=7, normals=6, healthy=2, diseased=3, size=128, workers=1)

    return shared("phantoms", make)


@pytest.fixture
def mixed(tmp_path: Path, phantoms: Path) -> Path:
    """A folder with three good films, a corrupt film, a text file and a CT slice."""
    from pydicom.data import get_testdata_file

    from artasyn.files.radiograph import read_radiograph, write_image

    folder = tmp_path / "mixed"
    for number, path in enumerate(sorted((phantoms / "train/healthy").iterdir())[:3]):
        write_image(folder / "ward" / f"film{number}.png", read_radiograph(path))
    good = (folder / "ward" / "film0.png").read_bytes()
    (folder / "corrupt.png").write_bytes(good[: len(good) // 2])
    (folder / "text.png").write_text("this is no image")
    (folder / "slice.dcm").write_bytes(Path(str(get_testdata_file("CT_small.dcm"))).read_bytes())
    return folder


@pytest.fixture(scope="session")
def trained(phantoms: Path, shared: Shared) -> Path:
    """The folder of a very short training on phantoms."""
    from artasyn.bulk.sources import find_sources
    from artasyn.training.run import TrainingRun

    def make(folder: Path) -> None:
        run = TrainingRun(size=64, epochs=2, batch_size=2, held_out=0.34, seed=3)
        run.fit(find_sources([phantoms / "train"]), folder)

    return shared("trained", make)


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of what stands for URLs."""
    monkeypatch.setenv("ARTASYN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def memory(cached: Path) -> Iterator[Any]:
    """An empty store in memory, with URLs such as ``memory://films/a.png``."""
    import fsspec

    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()
