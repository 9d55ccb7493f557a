"""What all tests share: where the real radiographs are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from artasyn.bulk.sources import find_sources
from artasyn.commands.demo import write_phantoms
from artasyn.files.radiograph import read_radiograph, write_image
from artasyn.segment.ct.volume import Volume
from artasyn.training.run import TrainingRun

ROOT = Path(__file__).parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest test comes first, so that no worker waits for it at the end."""
    items.sort(key=lambda item: item.path.name != "test_readme.py")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real radiographs, or a skip that says how to provide it."""
    folder = Path(os.environ.get("ARTASYN_DATA", ROOT / ".." / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real radiographs at {folder}; set ARTASYN_DATA to the folder that holds them")
    return folder


@pytest.fixture(scope="session")
def real_ct(data: Path) -> Volume:
    """A real CT with its structures, without the table."""
    ct = data / "ct"
    return Volume.read(ct / "lidc_0001.nii.gz", ct / "lidc_0001_labels.nii.gz", ct / "structures.csv")


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set of phantoms: train/healthy, test/healthy, test/diseased, ground_truth, lungs."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, seed=7, normals=6, healthy=2, diseased=3, size=128, workers=1)
    return folder


@pytest.fixture
def mixed(tmp_path: Path, phantoms: Path) -> Path:
    """Three good films among a corrupt one, a text file and a CT slice."""
    folder = tmp_path / "mixed"
    for number, path in enumerate(sorted((phantoms / "train/healthy").iterdir())[:3]):
        write_image(folder / "ward" / f"film{number}.png", read_radiograph(path))
    good = (folder / "ward" / "film0.png").read_bytes()
    (folder / "corrupt.png").write_bytes(good[: len(good) // 2])
    (folder / "text.png").write_text("this is no image")
    (folder / "slice.dcm").write_bytes(Path(str(get_testdata_file("CT_small.dcm"))).read_bytes())
    return folder


@pytest.fixture(scope="session")
def trained(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a very short training on phantoms."""
    out = tmp_path_factory.mktemp("training")
    run = TrainingRun(size=64, epochs=2, batch_size=2, held_out=0.34, seed=3)
    run.fit(find_sources([phantoms / "train"]), out)
    return out
