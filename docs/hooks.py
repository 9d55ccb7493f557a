"""Hooks of mkdocs.yml: pages from other folders, links between pages, diagrams, and examples in docstrings."""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path
from typing import Any

import griffe
import mmdr
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
CARDS = {"model": "detector", "anatomy_model": "anatomy", "mask_model": "masks", "shape_model": "shapes"}
ELSEWHERE = {
    "benchmarks/README.md": "experiments/programs.md",
    **{f"artasyn/{model}/README.md": f"models/{page}.md" for model, page in CARDS.items()},
    "artasyn/token_model/README.md": "models/tokens.md",
    **{path.name: f"{path.stem.lower()}.md" for path in ROOT.glob("*.md") if path.name != "README.md"},
}
"""The page of every Markdown file that lies outside docs/. The start page stands for README.md."""

SCALE = 0.8
"""Size of diagrams: their letters are then as large as those of the text."""

LINK = re.compile(r"\[([^\[\]]*)\]\(([^()\s#:]+)(#[^()\s]*)?\)")


def on_config(config: MkDocsConfig) -> None:
    """Fills the navigation's ``*`` and draws diagrams."""
    pages = {path.relative_to(config.docs_dir).as_posix() for path in Path(config.docs_dir).rglob("*.md")}
    named = _named(config.nav)
    config.nav = _filled(config.nav, sorted((pages | set(ELSEWHERE.values())) - set(named)))
    config.mdx_configs["pymdownx.superfences"] = {
        "custom_fences": [{"name": "mermaid", "class": "diagram", "format": diagram}]
    }


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Adds the pages that lie outside docs/."""
    for file, page in ELSEWHERE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / file)))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Makes links of the repository links of the site. A link to a file that is no page keeps its words alone."""
    origins = {page: file for file, page in ELSEWHERE.items()}
    folder = Path(origins.get(page.file.src_uri, f"docs/{page.file.src_uri}")).parent

    def link(found: re.Match[str]) -> str:
        text, target, anchor = found[1], os.path.normpath(folder / found[2]), found[3] or ""
        if not (ROOT / target).is_file():
            return found[0]
        place = "index.md" if target == "README.md" else ELSEWHERE.get(target, target.removeprefix("docs/"))
        if files.get_file_from_path(place) is None:
            return text
        return f"[{text}]({os.path.relpath(place, Path(page.file.src_uri).parent)}{anchor})"

    return LINK.sub(link, markdown)


def diagram(source: str, language: str, name: str, options: dict[str, Any], md: object, **others: object) -> str:
    """Draws a Mermaid diagram as a picture, so that a page needs no script from elsewhere."""
    svg = mmdr.render(source).svg()
    width = round(SCALE * float(re.findall(r'viewBox="\S+ \S+ (\S+) ', svg)[0]))
    picture = base64.b64encode(svg.encode()).decode()
    return f'<div class="{name}"><img alt="diagram" width="{width}" src="data:image/svg+xml;base64,{picture}"></div>'


class Examples(griffe.Extension):
    """Shows a docstring's ``Example:`` as a block of code: griffe knows this section as ``Examples:``."""

    def on_object(self, *, obj: griffe.Object, **others: object) -> None:
        """Renames the section."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)


def _named(nav: Any) -> list[str]:
    """The pages that a navigation names."""
    if isinstance(nav, str):
        return [nav]
    return [page for each in (nav.values() if isinstance(nav, dict) else nav) for page in _named(each)]


def _filled(nav: Any, rest: list[str]) -> Any:
    """A navigation with the pages that have no other place in place of ``*``."""
    if isinstance(nav, dict):
        return {title: _filled(each, rest) for title, each in nav.items()}
    if isinstance(nav, list):
        return [filled for each in nav for filled in (rest if each == "*" else [_filled(each, rest)])]
    return nav
