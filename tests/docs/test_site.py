"""The site builds without a warning, has every public name, asks no other host, and its tutorials show what they do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docs.needs import DOCS
from tests.test_doors import DOORS

pytestmark = DOCS


class Loaded(HTMLParser):
    """The addresses that a browser loads with a page: not those of links that a reader may follow."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "link" and given.get("rel") not in ("canonical", "next", "prev"):
            self.addresses.append(given.get("href", ""))
        elif tag != "a":
            self.addresses += [given[name] for name in ("src", "srcset", "data", "poster") if name in given]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_every_public_name_has_an_entry(site: Path) -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in (site / "reference").rglob("*.html"))
    entries = set(re.findall(r'id="(artasyn[\w.]*)"', text))
    assert {f"{door}.{name}" for door, names in DOORS.items() for name in names.split()} - entries == {
        "artasyn.__version__"  # a string
    }


def test_every_model_has_its_card(site: Path) -> None:
    cards = sorted((ROOT / "artasyn").glob("*/README.md"))
    titles = {re.findall(r"^# (.+)$", card.read_text(encoding="utf-8"), flags=re.MULTILINE)[0] for card in cards}
    text = "".join(page.read_text(encoding="utf-8") for page in (site / "models").rglob("*.html"))
    assert titles
    assert [title for title in titles if f">{title}<a" not in text] == []


def test_pages_load_nothing_from_other_hosts(site: Path) -> None:
    loaded = {}
    for page in site.rglob("*.html"):
        parser = Loaded()
        parser.feed(page.read_text(encoding="utf-8"))
        assert parser.addresses
        loaded[page.name] = [each for each in parser.addresses if re.match(r"(\w+:)?//", each)]
    assert not any(loaded.values()), loaded
    sheets = "".join(sheet.read_text(encoding="utf-8") for sheet in site.rglob("*.css"))
    assert not re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", sheets)
    assert not list(site.rglob("*mermaid*"))
    assert 'class="mermaid"' not in "".join(page.read_text(encoding="utf-8") for page in site.rglob("*.html"))


def test_diagrams_are_pictures(site: Path) -> None:
    diagrams = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").count("```mermaid")
    page = (site / "architecture" / "index.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/svg+xml;base64,') == diagrams > 0


def test_the_tutorials_print_and_draw_what_they_show() -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "LOKY_MAX_CPU_COUNT": "1"}
    command = [sys.executable, "-m", "benchmarks.tutorials", "--check"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]


def test_the_examples_of_the_how_tos_run(tmp_path: Path) -> None:
    pages = [page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs" / "how-to").glob("*.md"))]
    blocks = [block for page in pages for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)]
    assert len(blocks) >= 3
    each = "import sys\nfor block in sys.argv[1:]: exec(compile(block, block, 'exec'), {'__name__': '__main__'})"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", each, *blocks]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
