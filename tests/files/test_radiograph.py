"""Reading and writing films, masks and labels, and telling the files that can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

import artasyn.files.radiograph as module
from artasyn.errors import ImageError, RadiographError
from artasyn.files.radiograph import (
    RADIOGRAPH_SUFFIXES,
    is_radiograph_file,
    read_labels,
    read_mask,
    read_radiograph,
    write_image,
    write_labels,
    write_mask,
)
from tests.files.made import GREYS, RNG, dicom, film, refusal, saved, stored_as

FILMS = {"images", "lateral", "hands"}
"""Folders whose PNG files are films and not masks."""


def test_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    saved(tmp_path / "a.png", film()).rename(path)
    np.testing.assert_array_equal(read_radiograph(str(path)), film() / np.float32(255))


def test_what_is_no_file(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.png")
    assert "is a folder" in refusal(tmp_path)
    assert "out of reach" in refusal(tmp_path / ("x" * 300 + ".png"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"These are the findings, not the film.", "begins with b'These are th', so is no PNG"),
        (b"GIF89a" + bytes(64), "so is no PNG"),
        (b"\x89PNG\r\n\x1a\n", "is damaged, cut short"),
        (b"\x08\x00\x05\x00nonsense and nothing else", "no modality"),
        (bytes(128) + b"DICM", "no modality"),
        (bytes(128) + b"DICM" + b"\xff" * 40, "DICOM"),
    ],
)
def test_what_is_no_image(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    assert reason in refusal(path)


def test_what_cannot_be_a_film_is_refused(tmp_path: Path) -> None:
    assert "15 x 40" in refusal(saved(tmp_path / "s.png", film(15, 40)))
    assert "is constant (0 everywhere)" in refusal(saved(tmp_path / "c.png", np.zeros((32, 32), np.uint8)))
    twelve = (film().astype(np.uint16) * 16).clip(0, 4095)
    assert "12 bits: times 16" in refusal(saved(tmp_path / "t.png", twelve))


def test_a_mask_comes_back(tmp_path: Path) -> None:
    mask = film() > 120
    for array in (mask, np.zeros_like(mask), np.ones_like(mask)):
        write_mask(tmp_path / "m.png", array)
        np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), array)
    with PIL.Image.open(tmp_path / "m.png") as picture:
        assert np.unique(np.asarray(picture)).tolist() == [255]


def test_masks_of_others(tmp_path: Path) -> None:
    mask = film() > 120
    for number, array in enumerate([mask.astype(np.uint8), mask, mask * np.uint8(7), mask * np.uint16(65535)]):
        np.testing.assert_array_equal(read_mask(saved(tmp_path / f"{number}.png", array)), mask)
    soft = np.array([[0, 127, 128, 255]] * 2, np.uint8)
    assert read_mask(saved(tmp_path / "soft.png", soft))[0].tolist() == [False, False, True, True]
    block = np.kron(np.eye(4), np.ones((16, 16))).astype(np.uint8) * 255
    block[:5] = 255
    np.testing.assert_array_equal(read_mask(saved(tmp_path / "m.jpg", block, quality=95)), block > 0)
    colours = np.dstack([mask * np.uint8(255)] * 3)
    np.testing.assert_array_equal(read_mask(saved(tmp_path / "rgb.png", colours)), mask)


def test_what_is_no_mask(tmp_path: Path) -> None:
    labels = np.array([[0, 1, 2]] * 2, np.uint8)
    with pytest.raises(RadiographError, match=r"l\.png holds 3 values.*read_labels"):
        read_mask(saved(tmp_path / "l.png", labels))
    with pytest.raises(RadiographError, match="does not exist"):
        read_mask(tmp_path / "none.png")


def test_labels_come_back(tmp_path: Path) -> None:
    labels = np.array([[0, 1, 2]] * 2, np.uint8)
    path = tmp_path / "l.png"
    write_labels(path, labels)
    np.testing.assert_array_equal(read_labels(path), labels)
    with PIL.Image.open(path) as picture:
        np.testing.assert_array_equal(np.asarray(picture), labels)
    coloured = PIL.Image.new("P", (3, 2))
    coloured.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    coloured.putdata(labels.ravel().tolist())
    coloured.save(path)
    np.testing.assert_array_equal(read_labels(path), labels)


def test_what_are_no_labels(tmp_path: Path) -> None:
    with pytest.raises(RadiographError, match=r"values 0, 1, 2, 3, 4, 5, \.\.\.; lung labels are 0, 1"):
        read_labels(saved(tmp_path / "l.png", GREYS))
    with pytest.raises(RadiographError, match="holds the values 0, 255;"):
        read_labels(saved(tmp_path / "m.png", (GREYS > 9) * np.uint8(255)))
    with pytest.raises(RadiographError, match="is a JPEG"):
        read_labels(saved(tmp_path / "l.jpg", GREYS // 128))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF"])
@pytest.mark.parametrize("bits", [8, 16])
def test_an_image_comes_back_and_bytes_repeat(tmp_path: Path, suffix: str, bits: Any) -> None:
    full = 2**bits - 1
    levels = RNG.integers(0, full + 1, (31, 57))
    image = (levels / full).astype(np.float32)
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    write_image(first, image, bits=bits)
    write_image(str(second), image, bits=bits)
    assert first.read_bytes() == second.read_bytes()
    np.testing.assert_array_equal(np.rint(read_radiograph(first) * np.float64(full)), levels)
    if bits == 8:
        np.testing.assert_array_equal(read_radiograph(first), levels.astype(np.float32) / np.float32(255))
    assert {p.name for p in tmp_path.iterdir()} == {first.name, second.name}


def test_what_cannot_be_written(tmp_path: Path) -> None:
    image, mask = film() / np.float32(255), film() > 100
    with pytest.raises(RadiographError, match=r"end its name in \.png or \.tif"):
        write_image(tmp_path / "a.jpg", image)
    for suffix in (".jpg", ".tif", ""):
        with pytest.raises(RadiographError, match=r"end its name in \.png$"):
            write_mask(tmp_path / f"m{suffix}", mask)
        with pytest.raises(RadiographError, match=r"end its name in \.png$"):
            write_labels(tmp_path / f"l{suffix}", mask.astype(np.uint8))
    with pytest.raises(ImageError, match="found 3"):
        write_labels(tmp_path / "l.png", mask.astype(np.uint8) * 3)
    with pytest.raises(ImageError, match="lie in"):
        write_image(tmp_path / "a.png", image * 2)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("x")
    with pytest.raises(RadiographError, match=r"m\.png lies below a file"):
        write_mask(tmp_path / "file" / "m.png", mask)
    write_mask(tmp_path / "new" / "m.png", mask)
    assert read_mask(tmp_path / "new" / "m.png").any()


def test_arrays_of_another_kind_are_refused() -> None:
    check = module._check_plane
    for array in ([True], np.ones((4, 4)), np.ones(4, bool), np.ones((0, 4), bool)):
        with pytest.raises(ImageError, match="mask must be"):
            check(array, np.dtype(np.bool_), "mask")


def test_only_8_and_16_bits(tmp_path: Path) -> None:
    write: Any = getattr(write_image, "__wrapped__", write_image)
    with pytest.raises(ImageError, match="bits must be 8 or 16, not 12"):
        write(tmp_path / "a.png", film() / np.float32(255), bits=12)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.png"
    write_mask(path, film() > 100)
    old = path.read_bytes()

    def fails(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(RadiographError, match="No space left"):
        write_mask(path, film() > 150)
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["m.png"]


def test_writing_over_a_folder(tmp_path: Path) -> None:
    (tmp_path / "m.png").mkdir()
    with pytest.raises(RadiographError, match=r"m\.png is a folder"):
        write_mask(tmp_path / "m.png", film() > 100)


def test_files_to_read_in_a_folder(tmp_path: Path) -> None:
    assert ".dcm" in RADIOGRAPH_SUFFIXES
    for name in ("a.png", "B.JPG", "c.tiff", "d.dcm", "notes.txt", ".hidden.png", "plain", "1.2.840.5"):
        (tmp_path / name).write_bytes(b"x")
    for name in ("IM0001", "1.2.840.10008.7", "DICOMDIR"):
        stored_as(tmp_path / name, dicom(film(), bits=8))
    (tmp_path / "folder.png").mkdir()
    found = {path.name for path in tmp_path.iterdir() if is_radiograph_file(path)}
    assert found == {"a.png", "B.JPG", "c.tiff", "d.dcm", "IM0001", "1.2.840.10008.7"}
    assert not is_radiograph_file(tmp_path / "none.png")


@pytest.mark.realdata
def test_real_folders(data: Path) -> None:
    folders = sorted({path.parent for pattern in ("*.jpg", "*.png") for path in data.rglob(pattern)})
    assert len(folders) > 5
    for folder in folders:
        for path in sorted(folder.iterdir())[:2]:
            if path.suffix == ".png" and path.parent.name not in FILMS:
                assert read_mask(path).dtype == bool
            elif path.suffix == ".jpg":
                image = read_radiograph(path)
                assert image.dtype == np.float32
                assert image.max() - image.min() > 0.5, path
