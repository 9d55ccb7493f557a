"""The page about pipelines of other libraries: its examples run, where the library is there."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest

from artasyn.cli.main import main
from artasyn.files.radiograph import write_image
from artasyn.phantom.film import Phantom
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "pipelines.md").read_text(encoding="utf-8")
EXAMPLES = [
    (f"{title} {number}", kind, block)
    for title, section in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, flags=re.DOTALL | re.MULTILINE)
    for number, (kind, block) in enumerate(re.findall(r"```(\w+)\n(.*?)```", section, flags=re.DOTALL), 1)
]
NEEDED = ("datasets", "kornia", "monai")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]

pytestmark = [
    pytest.mark.extras,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with normal radiographs, which all examples share; later ones read the results of earlier ones."""
    made = tmp_path_factory.mktemp("pipelines")
    for seed in (1, 2):
        write_image(made / "normals" / f"{seed}.png", Phantom(size=96)(seed).image)
    return made


@pytest.mark.parametrize(
    ("kind", "block"), [example[1:] for example in EXAMPLES], ids=[title for title, *_ in EXAMPLES]
)
def test_the_examples_run(kind: str, block: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # no pools to start
    if kind == "bash":
        for line in block.splitlines():
            program, *arguments = shlex.split(line, comments=True)
            assert program == "artasyn"
            assert not main(arguments)
        return
    for package in re.findall(r"^(?:from|import) (\w+)", block, flags=re.MULTILINE):
        if package == "fiftyone" and importlib.util.find_spec(package) is None:
            pytest.skip("fiftyone is not installed")
    exec(compile(block, "docs/pipelines.md", "exec"), {"__name__": "__main__"})


def test_the_coco_file_is_what_other_readers_expect(folder: Path) -> None:
    coco = json.loads((folder / "for_fiftyone" / "labels.json").read_text())
    names = {category["id"]: category["name"] for category in coco["categories"]}
    sizes = {image["id"]: [image["height"], image["width"]] for image in coco["images"]}
    assert len(sizes) == 4
    assert sorted(path.name for path in (folder / "for_fiftyone" / "data" / "images").iterdir()) == sorted(
        Path(image["file_name"]).name for image in coco["images"]
    )
    assert {annotation["image_id"] for annotation in coco["annotations"]} == set(sizes)
    for annotation in coco["annotations"]:
        assert names[annotation["category_id"]] in ("nodule", "consolidation")
        assert annotation["segmentation"]["size"] == sizes[annotation["image_id"]]
        assert isinstance(annotation["segmentation"]["counts"], str)  # compressed run lengths
        left, top, width, height = annotation["bbox"]
        assert 0 <= left < left + width <= 96
        assert 0 <= top < top + height <= 96
        assert annotation["iscrowd"] == 0
