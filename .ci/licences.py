"""The licences of every package that artasyn needs, direct or not, from the metadata of the installed packages.

``python .ci/licences.py`` writes LICENSES.md; the environment must hold artasyn's packages.
"""

import configparser
import re
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
COPYLEFT = re.compile(r"\bA?GPL|(?<!Lesser )General Public|Affero", re.IGNORECASE)
"""Words of the GPL and the AGPL; the LGPL allows any programme to use a library."""
HEAD = """# Licences of the packages that artasyn needs

artasyn has the MIT licence. `pip install artasyn` brings the packages below. `python .ci/licences.py` writes this page
from the metadata of the installed packages, here on Linux with Python {python}. No package is under the GPL or the
AGPL; a test looks for that. The packages of the extras are not listed.

The packages that begin with `nvidia` and `cuda` come with torch's build for NVIDIA's GPUs on Linux. A build for the CPU
alone has none of them. opencv-python-headless contains FFmpeg, under the LGPL 2.1, as a library of its own.

| package | version | licence | needed by |
|---|---|---|---|
"""


def direct() -> list[Requirement]:
    """The requirements in setup.cfg."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return [Requirement(line) for line in config["options"]["install_requires"].splitlines() if line]


def needed() -> dict[str, set[str]]:
    """Every package that artasyn needs on this machine, by its normalised name, with the packages that need it."""
    found: dict[str, set[str]] = {}
    seen: set[tuple[str, str]] = set()
    left = [("artasyn", each) for each in direct()]
    while left:
        by, requirement = left.pop()
        name = normalised(requirement.name)
        found.setdefault(name, set()).add(by)
        for extra in {"", *requirement.extras}:
            if (name, extra) not in seen:
                seen.add((name, extra))
                left += [(name, each) for each in requirements(name, extra)]
    return found


def requirements(name: str, extra: str) -> Iterator[Requirement]:
    """The packages that an installed package needs, for one of its extras or without any."""
    for line in distribution(name).requires or []:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement


def normalised(name: str) -> str:
    """A package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence(name: str) -> str:
    """The licence of an installed package: its expression, or its classifiers, or the first line that it states."""
    metadata = distribution(name).metadata
    classifiers = [each for each in metadata.get_all("Classifier") or [] if each.startswith("License :: ")]
    exact = [each.rpartition(" :: ")[2] for each in classifiers if each != "License :: OSI Approved"]
    stated = (metadata.get("License") or "").strip().splitlines()
    return metadata.get("License-Expression") or ", ".join(exact) or (stated[0][:80] if stated else "")


def main() -> None:
    """Writes LICENSES.md."""
    import platform

    rows = [
        f"| {name} | {distribution(name).version} | {licence(name)} | {', '.join(sorted(by))} |\n"
        for name, by in sorted(needed().items())
    ]
    python = ".".join(platform.python_version_tuple()[:2])
    (ROOT / "LICENSES.md").write_text(HEAD.format(python=python) + "".join(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
