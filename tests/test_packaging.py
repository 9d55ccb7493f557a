"""What ships: setup.cfg, the folders on disk and the links agree, and importing it is quiet and light."""

from __future__ import annotations

import ast
import configparser
import importlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

import artasyn
from tests.conftest import ROOT

CONFIG = configparser.ConfigParser()
CONFIG.read(ROOT / "setup.cfg")
ROOTS = {
    name.strip(): ROOT / folder.strip()
    for name, folder in (line.split("=") for line in CONFIG["options"]["package_dir"].splitlines() if line.strip())
}
"""The folders that setup.cfg maps."""
NOT_SHIPPED = {"tests", "benchmarks", "docs"}
IMPORTED_AS = {
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}


def load_module(file: Path) -> ModuleType:
    """A programme that belongs to no package, as a module."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lines(section: str, option: str) -> list[str]:
    return [line.strip() for line in CONFIG[section][option].splitlines() if line.strip()]


def folder_of(package: str) -> Path:
    """Where a package lies: below the longest mapped package that its name begins with."""
    root = max((root for root in ROOTS if f"{package}.".startswith(f"{root}.")), key=len)
    return ROOTS[root].joinpath(*package.removeprefix(root).split("."))


FOLDERS = {package: folder_of(package) for package in lines("options", "packages")}
"""The folder of every package that ships."""


def sources() -> Iterator[tuple[str, Path]]:
    """Every module that ships: its name and its file."""
    for package, folder in FOLDERS.items():
        for file in sorted(folder.glob("*.py")):
            yield (package if file.stem == "__init__" else f"{package}.{file.stem}"), file


def imports(file: Path) -> Iterator[tuple[str, int]]:
    """The modules that a file imports, with how many dots stand before them."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", node.level


def test_every_folder_with_modules_is_a_package_that_ships() -> None:
    found = {
        folder
        for top in ROOT.iterdir()
        if top.is_dir() and not top.name.startswith(".") and top.name not in NOT_SHIPPED | {"build", "dist"}
        for folder in [top, *(inner for inner in top.rglob("*") if inner.is_dir() and not inner.is_symlink())]
        if any(folder.glob("*.py"))
    }
    assert found == set(FOLDERS.values())
    for folder in FOLDERS.values():
        assert (folder / "__init__.py").is_file()


def test_links_shadow_the_mapping() -> None:
    links = {path.name: path.readlink() for path in (ROOT / "artasyn").iterdir() if path.is_symlink()}
    expected = {
        package.removeprefix("artasyn."): Path("..") / folder.relative_to(ROOT)
        for package, folder in ROOTS.items()
        if package != "artasyn"
    }
    assert links == expected


def test_a_checkout_without_links_ships_the_same_modules(tmp_path: Path) -> None:
    """Windows writes a link of git as a small text file; what ships comes from the folders that setup.cfg maps."""
    modules = shutil.ignore_patterns("*_model", "model", "__pycache__")
    for name in ("segment", "synthesis"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=modules)
    shutil.copytree(
        ROOT / "artasyn",
        tmp_path / "artasyn",
        ignore=lambda folder, names: {
            *modules(folder, names),
            *(name for name in names if Path(folder, name).is_symlink()),
        },
    )
    for link in (path for path in (ROOT / "artasyn").iterdir() if path.is_symlink()):
        (tmp_path / "artasyn" / link.name).write_text(link.readlink().as_posix())
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    script = "from setuptools import setup; setup(script_args=['-q', 'build', '-b', 'built'])"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    built = {path.relative_to(tmp_path / "built" / "lib") for path in (tmp_path / "built" / "lib").rglob("*.py")}
    expected = {
        Path(*package.split("."), file.name) for package, folder in FOLDERS.items() for file in folder.glob("*.py")
    }
    assert built == expected


def test_no_package_that_is_needed_is_under_the_gpl() -> None:
    licences = load_module(ROOT / ".ci" / "licences.py")
    needed = licences.needed()
    assert {"numpy", "torch", "pydicom", "imagecodecs", "jinja2", "markupsafe"} <= set(needed)  # the last is indirect
    found = {name: licences.licence(name) for name in needed}
    assert not {name: stated for name, stated in found.items() if licences.COPYLEFT.search(stated)}
    listed = re.findall(r"^\| ([\w-]+) \|", (ROOT / "LICENSES.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert {licences.normalised(each.name) for each in licences.direct()} <= set(listed)


@pytest.mark.parametrize(
    ("stated", "copyleft"),
    [
        ("GPL-3.0-or-later", True),
        ("GNU General Public License v3 (GPLv3)", True),
        ("AGPL-3.0", True),
        ("GNU Affero General Public License v3", True),
        ("GNU General Public License (GPL)", True),
        ("GNU Lesser General Public License v3 (LGPLv3)", False),
        ("LGPL-2.1", False),
        ("BSD-3-Clause", False),
    ],
)
def test_the_gpl_is_told_from_other_licences(stated: str, copyleft: bool) -> None:
    assert bool(load_module(ROOT / ".ci" / "licences.py").COPYLEFT.search(stated)) == copyleft


def test_the_oldest_versions_are_those_of_setup_cfg() -> None:
    listed = subprocess.run(
        [sys.executable, ROOT / ".ci" / "lowest.py"], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    required = lines("options", "install_requires")
    assert len(listed) == len(required)
    for pinned, line in zip(listed, required, strict=True):
        name, _, oldest = line.split(",")[0].partition(" >= ")
        assert pinned == f"{name}=={oldest}.*"


def test_coverage_looks_at_every_package() -> None:
    assert {ROOT / name for name in lines("coverage:run", "source")} == set(ROOTS.values())


@pytest.mark.parametrize("name", [name for name, file in sources() if file.stem != "__main__"])
def test_modules_are_imported_under_their_name_from_their_folder(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__file__ is not None
    assert Path(module.__file__).resolve() == dict(sources())[name]


def test_no_module_is_named_like_one_of_the_standard_library() -> None:
    names = {file.stem for _, file in sources()} - {"__init__", "__main__"}
    assert len(names) > 10
    assert not names & set(sys.stdlib_module_names)
    assert not names & {name.split(".")[0] for name in sys.builtin_module_names}


def test_no_public_name_is_hidden_by_a_module_of_its_name() -> None:
    for package in FOLDERS:
        exported = getattr(importlib.import_module(package), "__all__", [])
        modules = {name.rpartition(".")[2] for name, _ in sources() if name.rpartition(".")[0] == package}
        assert not set(exported) & modules
        assert len(exported) == len(set(exported))  # in which order, ruff says


def test_everything_exported_is_there() -> None:
    for package in FOLDERS:
        module = importlib.import_module(package)
        missing = [name for name in getattr(module, "__all__", []) if not hasattr(module, name)]
        assert not missing
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = artasyn.nothing


def test_inner_packages_import_modules_never_the_top_and_never_upwards() -> None:
    for name, file in sources():
        for module, dots in imports(file):
            assert dots <= 1, f"{name} imports upwards"
            if file.parent != FOLDERS["artasyn"]:
                assert module != "artasyn", f"{name} imports artasyn itself"


def test_every_import_is_declared() -> None:
    declared = {re.split(r"[\s\[><=!~]", line)[0].lower() for line in lines("options", "install_requires")}
    for name, file in sources():
        for module, dots in imports(file):
            top = module.split(".")[0]
            if not dots and top != "artasyn" and top not in sys.stdlib_module_names:
                assert IMPORTED_AS.get(top, top).lower() in declared, f"{name} imports {top}"


def test_versions_agree() -> None:
    declared = CONFIG["metadata"]["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", declared)
    assert artasyn.__version__ == version("artasyn") == declared


def test_python_versions_agree() -> None:
    oldest = CONFIG["options"]["python_requires"].removeprefix(">=")
    classified = [line.rpartition(" ")[2] for line in lines("metadata", "classifiers") if ":: 3." in line]
    assert classified[0] == CONFIG["mypy"]["python_version"] == oldest
    ruff = re.search(r'target-version = "py(\d)(\d+)"', (ROOT / "pyproject.toml").read_text())
    assert ruff is not None
    assert ".".join(ruff.groups()) == oldest


def test_no_file_names_a_place_on_one_machine() -> None:
    place = re.compile(r"(?<![\w.~)}\]-])/(?:work|root|home|tmp|mnt|opt|Users)/\w")
    skipped = {"__pycache__", "build", "dist"}
    looked, found = 0, []
    for file in sorted(ROOT.rglob("*")):
        parts = file.relative_to(ROOT).parts
        hidden = any(part.startswith(".") and part not in {".ci", ".github", ".gitignore"} for part in parts)
        if hidden or skipped & set(parts) or any(part.endswith(".egg-info") for part in parts):
            continue
        if not file.is_file() or file.stat().st_size > 1_000_000:
            continue
        content = file.read_bytes()
        if b"\0" in content[:8000]:
            continue
        looked += 1
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
            if place.search(line):
                found.append(f"{file.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert looked > 20
    assert not found


@pytest.fixture(scope="module")
def fresh() -> subprocess.CompletedProcess[str]:
    """A fresh interpreter that imports artasyn, with every warning an error."""
    script = "import sys, artasyn; loaded = sorted(sys.modules); import json; sys.stdout.write(json.dumps(loaded))"
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


def test_importing_is_quiet(fresh: subprocess.CompletedProcess[str]) -> None:
    assert fresh.stderr == ""
    assert fresh.returncode == 0
    assert fresh.stdout.startswith("[")  # nothing before the list that the script writes


def test_importing_is_light(fresh: subprocess.CompletedProcess[str]) -> None:
    loaded = {module.split(".")[0] for module in json.loads(fresh.stdout)}
    assert "artasyn" in loaded
    heavy = {
        "albumentations",
        "huggingface_hub",
        "imagecodecs",
        "jsonargparse",
        "lightning",
        "matplotlib",
        "skimage",
        "sklearn",
        "tensorboard",
        "timm",
        "torchmetrics",
        "torchvision",
    }
    assert not loaded & heavy


def test_one_version_stands_everywhere() -> None:
    import yaml

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    heading = re.search(r"^## \[(.+)\] - (unreleased|\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert heading
    assert citation["version"] == heading[1] == CONFIG["metadata"]["version"]
    assert citation["license"] == CONFIG["metadata"]["license"]
    (reference,) = citation["references"]
    assert reference["url"] in lines("metadata", "project_urls")[0]
