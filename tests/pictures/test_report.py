"""Reports: dashes with reasons, lists that are readable without a script, nothing that is fetched."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from artasyn.evaluation.evaluation import Evaluation
from artasyn.pictures.film_list import Cell, FilmList, ListedFilm, compact_uri
from artasyn.pictures.report import FIGURES, Section, metrics_section, write_report


class Cells(HTMLParser):
    """Collects the texts of table cells and the addresses of links and pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.addresses: list[str] = []
        self.keys: list[str] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag in ("td", "th"):
            self.inside = True
            self.cells.append("")
            self.keys.append(found.get("data-key") or "")
        self.addresses += [address for address in (found.get("href"), found.get("src")) if address]

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.cells[-1] += data.strip()

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag not in ("td", "th")


def read(page: Path) -> Cells:
    cells = Cells()
    cells.feed(page.read_text(encoding="utf-8"))
    return cells


def table(evaluation: Evaluation) -> dict[str, str]:
    section = metrics_section("Figures", "", {"ours": evaluation.result(bootstrap=0)})
    return {name: value for name, value in section.rows}  # noqa: C416


def test_undefined_figures_are_dashes_with_the_reason() -> None:
    evaluation = Evaluation()
    evaluation.add("one", 0.5, diseased=True)
    assert set(table(evaluation)) == set(FIGURES.values())
    assert table(evaluation)["image AUROC"] == "– (no healthy films)"
    assert table(evaluation)["diseased films flagged"] == "– (no threshold)"
    assert table(evaluation)["healthy films flagged"] == "– (no healthy films)"
    assert table(evaluation)["highest point inside a box"] == "– (no boxes around lesions)"
    assert table(evaluation)["pixel AUROC"] == "– (no masks of lesions)"
    healthy = Evaluation(image_threshold=0.4)
    healthy.add("one", 0.5, diseased=False)
    assert table(healthy)["image AUROC"] == table(healthy)["pixel AP"] == "– (no diseased films)"
    assert table(healthy)["healthy films flagged"] == "1.000"
    flat = Evaluation(threshold=0.5)
    lesions = np.eye(20, dtype=bool)
    ramp = np.linspace(0, 2**-40, 400, dtype=np.float32).reshape(20, 20)
    flat.add("one", 0.5, diseased=True, heatmap=ramp, lesions=lesions)
    assert table(flat)["pixel AUROC"] == "– (the heatmaps are nearly constant)"
    assert not any(value in ("-", "nan", "0.000") for value in table(evaluation).values())


def films(count: int = 3) -> FilmList:
    uri = compact_uri(np.full((40, 30, 3), 99, np.uint8))
    made = [
        ListedFilm(f'ward/film "{n}" <b>', [Cell("–" if n else "0.5", math.nan if n else 0.5)], f"overlays/a {n}#.png",
                   [("overlay", uri)] * (n < 2))
        for n in range(count)
    ]  # fmt: skip
    return FilmList(["score"], made)


def test_a_report_states_its_facts_and_its_list(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    write_report(
        page, "A & B", [Section("Films", "Text.", films=films())], [("model", "bundled <x>"), ("date", "today")]
    )
    found = read(page)
    assert found.cells[:4] == ["model", "bundled <x>", "date", "today"]
    assert [cell for cell in found.cells if cell.startswith("ward") and not cell.endswith("overlay")] == [
        f'ward/film "{n}" <b>' for n in range(3)
    ]
    assert "overlays/a%200%23.png" in found.addresses
    assert sum(address.startswith("data:image/webp") for address in found.addresses) == 2
    assert all(address.startswith(("data:", "overlays/")) for address in found.addresses)
    assert {"0.5", "nan"} <= set(found.keys)
    text = page.read_text(encoding="utf-8")
    assert "The first 2 films have their pictures inside this page; the names of the other 1 lead" in text
    assert "://" not in text
    assert "research use" in text
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=\"(?!data:)", text)


def test_a_film_whose_name_is_not_utf8_has_a_link_to_its_bytes(tmp_path: Path) -> None:
    page, name = tmp_path / "report.html", "caf\udce9"  # Latin-1, as Python reads it from a folder
    listed = ListedFilm(name, [Cell("0.5", 0.5)], f"overlays/{name}.png", films(1).films[0].pictures)
    write_report(page, "Films", [Section("Films", films=FilmList(["score"], [listed]))])
    found = read(page)
    assert "overlays/caf%E9.png" in found.addresses
    assert "caf\N{REPLACEMENT CHARACTER}" in found.cells
    assert "caf\N{REPLACEMENT CHARACTER}: overlay" in found.cells[-3]


def test_a_list_moves_with_its_folder() -> None:
    moved = Section("Films", films=films()).moved("evaluation")
    assert moved.films is not None
    assert moved.films.films[0].address == "evaluation/overlays/a%200%23.png"
    plain = Section("Text")
    assert plain.moved("evaluation") is plain
    assert films(2).note == ""
    assert replace(films(2), left=7).note == (
        "7 more films are not in this list; the tables beside this page hold all."
    )
    assert replace(films(3), left=7).note.count(";") == 2


def test_pictures_inside_the_page_are_small_and_always_the_same() -> None:
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.integers(60, 200, (16, 16)), np.ones((70, 70))).astype(np.uint8)
    picture = np.repeat(smooth[:, :, None], 3, axis=2)
    assert compact_uri(picture) == compact_uri(picture.copy())
    assert len(compact_uri(picture)) < 40_000


@pytest.mark.slow
def test_a_browser_enlarges_with_and_without_a_script_and_sorts_with_one(tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = Path("/usr/bin/chromium")
    if not chromium.exists():
        pytest.skip("there is no chromium to open the report with")
    uri = compact_uri(np.full((400, 300, 3), 99, np.uint8))
    made = [
        ListedFilm(f"film{number}", [Cell(str(score), score)], f"overlays/{number}.png", [("overlay", uri)])
        for number, score in enumerate((0.2, math.nan, 0.9, 0.5))
    ]
    page = tmp_path / "report.html"
    write_report(page, "Films", [Section("Films", films=FilmList(["score"], made))])
    problems: list[str] = []
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        for scripted in (True, False):
            tab = browser.new_context(java_script_enabled=scripted, viewport={"width": 390, "height": 800}).new_page()
            tab.on("pageerror", lambda error: problems.append(str(error)))
            tab.goto(page.as_uri())
            picture = tab.locator(".zoom img").first
            before = picture.bounding_box()["height"]
            picture.click()
            assert picture.bounding_box()["height"] > 3 * before
            picture.click()
            assert picture.bounding_box()["height"] == before
            names = tab.locator(".films tbody a")
            assert names.all_inner_texts() == ["film0", "film1", "film2", "film3"]
            if scripted:
                assert tab.evaluate("document.documentElement.scrollWidth") <= 390
                tab.locator(".films th button", has_text="score").click()
                assert names.all_inner_texts() == ["film2", "film3", "film0", "film1"]
                tab.locator(".films th button", has_text="score").click()
                assert names.all_inner_texts() == ["film0", "film3", "film2", "film1"]
        browser.close()
    assert not problems
