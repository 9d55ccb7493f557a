"""The page in a browser: every path is clicked, every download opened, every bad file dropped, on desktop and phone."""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import shutil
import struct
import threading
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from artasyn.files.radiograph import read_mask, write_image
from artasyn.phantom.film import Phantom

if TYPE_CHECKING:
    from artasyn.app.reading import Models

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""
MISSING = [name for name in ("gradio", "playwright") if importlib.util.find_spec(name) is None]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.skipif(not CHROMIUM, reason="no chromium on the path"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # the server's threads leave event loops to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

UPLOAD = 2.0
"""Megabytes that the server of the tests accepts."""

WAIT = 60_000
"""Milliseconds that an answer may take on a busy machine."""


@pytest.fixture(scope="module")
def served(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a server and the folder that its own folder lies in."""
    from artasyn.app.server import ServerSettings, serve_page

    place = tmp_path_factory.mktemp("server")
    patch = pytest.MonkeyPatch()
    patch.setattr("tempfile.tempdir", str(place))
    patch.setattr("artasyn.app.reading.PHANTOM_SIZE", 256)
    patch.setattr("artasyn.app.scans.VOXEL", 6.0)
    there, stop, addresses = threading.Event(), threading.Event(), []

    def ready(url: str) -> None:
        addresses.append(url)
        there.set()

    def run() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # gradio's own
            serve_page(ServerSettings(port=0, upload=UPLOAD), models, ready=ready, stop=stop)

    server = threading.Thread(target=run)
    server.start()
    assert there.wait(120)
    yield addresses[0], place
    stop.set()
    server.join(30)
    assert not server.is_alive()
    patch.undo()
    with warnings.catch_warnings():  # uvicorn leaves its event loop to the collector
        warnings.simplefilter("ignore", ResourceWarning)
        del server
        gc.collect()
    assert not list(place.glob("artasyn-serve-*"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any, served: tuple[str, Path]) -> Iterator[Any]:
    """The page of a new user; no error of its scripts and no request to elsewhere is allowed."""
    context = browser.new_context(viewport=DESKTOP)
    opened = context.new_page()
    hosts: set[str] = set()
    faults: list[str] = []
    opened.on("request", lambda request: hosts.add(urlparse(request.url).hostname or ""))
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.set_default_timeout(WAIT)
    opened.goto(served[0])
    opened.wait_for_selector("#phantom")
    yield opened
    context.close()
    assert hosts <= {"127.0.0.1", ""}  # data: has no host
    assert not faults


def tab(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def show_phantom(page: Any, number: int) -> None:
    page.locator("#phantom-seed input").fill(str(number))
    page.click("#phantom")
    page.wait_for_function(f"document.querySelector('#film-card').innerText.includes('phantom {number} ')")
    page.wait_for_selector("#film-pictures svg")


def drop(page: Any, box: str, path: Path) -> None:
    page.set_input_files(f"#{box} input[type=file]", str(path))


def downloaded(page: Any, box: str, folder: Path) -> set[str]:
    """Clicks the link of a ZIP, unpacks it and returns the names of its files."""
    with page.expect_download() as waited:
        page.locator(f"#{box} a").first.click()
    with zipfile.ZipFile(waited.value.path()) as archive:
        archive.extractall(folder)
        return set(archive.namelist())


def sideways(page: Any) -> bool:
    """Whether the page must be scrolled sideways at the width of a desktop or of a phone."""
    wider = []
    for size in (PHONE, DESKTOP):
        page.set_viewport_size(size)
        page.wait_for_timeout(200)
        wider.append(page.evaluate("document.documentElement.scrollWidth") > size["width"])
    return any(wider)


def keep(page: Any, name: str) -> None:
    """Writes screenshots where ``ARTASYN_SCREENSHOTS`` names a folder, for the documents."""
    folder = os.environ.get("ARTASYN_SCREENSHOTS")
    if folder:
        for suffix, size in (("phone", PHONE), ("desktop", DESKTOP)):
            page.set_viewport_size(size)
            page.wait_for_timeout(300)
            page.screenshot(path=Path(folder) / f"{name}-{suffix}.png", full_page=True)


def huge_picture(path: Path) -> Path:
    """A PNG of a few bytes that claims billions of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(999))), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


def bad_files(folder: Path) -> dict[Path, str]:
    """Files that are no film, each with a part of the message."""
    (folder / "text.png").write_text("this is no image")
    slice_ = Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()
    (folder / "cut.dcm").write_bytes(slice_[: len(slice_) // 2])
    waves = np.asarray(0.5 + 0.4 * np.sin(np.mgrid[:160, :160].sum(axis=0) / 9), np.float32)
    write_image(folder / "waves.png", waves)
    return {
        folder / "text.png": "is no PNG",
        folder / "cut.dcm": "cut.dcm",
        huge_picture(folder / "huge.png"): "claims 3600000000 pixels",
        folder / "waves.png": "Not judged",
    }


def test_a_phantom_is_read_named_under_the_pointer_and_downloaded(page: Any, tmp_path: Path) -> None:
    assert "not a medical device" in page.inner_text(".artasyn-head")
    show_phantom(page, 1)
    assert "healthy films have a lower score" in page.inner_text("#film-card")
    assert "cardiothoracic ratio" in page.inner_text("#measures")
    lobe = page.locator("#film-pictures g[aria-label='right upper lobe']")
    assert not lobe.locator(".name").is_visible()
    lobe.locator("path").hover(force=True, position={"x": 20, "y": 60})
    named = page.locator("#film-pictures g.region .name >> visible=true")
    assert named.count() == 1
    page.click("#pack-film")
    page.wait_for_selector("#film-zip a")
    names = downloaded(page, "film-zip", tmp_path)
    assert {"record.json", "heatmap.png", "measures.csv", "masks/drawn_heart.png"} <= names
    assert json.loads((tmp_path / "record.json").read_text())["name"] == "phantom 1 with lesions"
    assert read_mask(tmp_path / "masks/drawn_heart.png").any()
    assert not sideways(page)
    keep(page, "film")


def test_bad_films_are_told_by_name_and_the_page_lives_on(page: Any, tmp_path: Path) -> None:
    for path, reason in bad_files(tmp_path).items():
        drop(page, "film", path)
        page.wait_for_function(
            "([name, reason]) => [name, reason].every(t => document.querySelector('#film-card').innerText.includes(t))",
            arg=[path.name, reason],
        )
        page.locator("#film button[aria-label='Clear']").first.click()
        page.wait_for_function("document.querySelector('#film-card').innerText.includes('Drop a chest film')")
    write_image(tmp_path / "large.png", np.random.default_rng(0).random((1200, 1200), np.float32), bits=16)
    drop(page, "film", tmp_path / "large.png")
    page.wait_for_selector(".toast-body >> text=large.png")
    write_image(tmp_path / "good.png", Phantom(size=200)(5).image)
    drop(page, "film", tmp_path / "good.png")
    page.wait_for_function("document.querySelector('#film-card').innerText.includes('good.png, 200 x 200')")
    assert not sideways(page)


def test_twins_are_made_by_choice_and_by_words(page: Any, tmp_path: Path) -> None:
    tab(page, "Synthetic twin")
    page.click("#make-twin")
    page.wait_for_selector("#twin-card >> text=Read a film on the first tab")
    tab(page, "Film")
    page.get_by_label("with lesions").uncheck()
    page.click("#phantom")
    page.wait_for_selector("#film-pictures svg")
    tab(page, "Synthetic twin")
    page.click("#finding input")
    page.get_by_role("option", name="mass").click()
    page.wait_for_function("document.querySelector('#severity input[type=number]').value != '0.45'")
    page.click("#make-twin")
    page.wait_for_selector("#twin svg g[aria-label='mass']", state="attached")
    page.click("#pack-twin")
    page.wait_for_selector("#twin-zip a")
    assert {"image.png", "mask.png", "record.json", "findings/1_mass.png"} <= downloaded(page, "twin-zip", tmp_path)
    page.fill("#prompt textarea", "purple elephants")
    page.click("#imagine")
    page.wait_for_selector("#twin-card .fault >> text=purple")
    page.fill("#prompt textarea", "consolidation in the right lower lobe")
    page.click("#imagine")
    page.wait_for_selector("#twin-card >> text=adherence")
    assert not sideways(page)
    keep(page, "twin")


def test_a_ct_is_projected_and_a_bad_one_told(page: Any, tmp_path: Path) -> None:
    tab(page, "CT")
    (tmp_path / "text.nii.gz").write_text("no CT")
    drop(page, "ct", tmp_path / "text.nii.gz")
    page.wait_for_selector("#ct >> text=gz")
    page.click("#project")
    page.wait_for_selector("#ct-card .fault >> text=text.nii.gz")
    page.click("#phantom-ct")
    page.wait_for_selector("#ct-films svg >> nth=1")
    names = downloaded(page, "ct-zip", tmp_path / "out")
    assert {"pa/image.png", "left_lateral/annotations.json", "pa/masks/trachea.png"} <= names
    assert not sideways(page)
    keep(page, "ct")


def test_two_users_at_once_see_their_own_films(page: Any, browser: Any, served: tuple[str, Path]) -> None:
    context = browser.new_context(viewport=PHONE)
    other = context.new_page()
    other.set_default_timeout(WAIT)
    other.goto(served[0])
    other.wait_for_selector("#phantom")
    for each, number in ((page, 7), (other, 8)):
        each.locator("#phantom-seed input").fill(str(number))
        each.click("#phantom")
    for each, number in ((page, 7), (other, 8)):
        each.wait_for_function(f"document.querySelector('#film-card').innerText.includes('phantom {number} ')")
    context.close()


def test_a_user_who_leaves_takes_the_film_along(browser: Any, served: tuple[str, Path], tmp_path: Path) -> None:
    url, place = served
    context = browser.new_context(viewport=DESKTOP)
    page = context.new_page()
    page.set_default_timeout(WAIT)
    page.goto(url)
    page.wait_for_selector("#phantom")
    write_image(tmp_path / "leaving.png", Phantom(size=160)(6).image)
    drop(page, "film", tmp_path / "leaving.png")
    page.wait_for_function("document.querySelector('#film-card').innerText.includes('leaving.png')")
    assert list(place.rglob("leaving.png"))
    context.close()
    for _ in range(100):
        if not list(place.rglob("leaving.png")):
            break
        threading.Event().wait(0.1)
    assert not list(place.rglob("leaving.png"))
