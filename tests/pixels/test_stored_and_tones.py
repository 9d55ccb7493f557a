"""Stored values and windows of DICOM against an independent computation; what leaves no film is refused by its name."""

from __future__ import annotations

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import JPEG2000Lossless

from artasyn.files.radiograph import read_radiograph
from artasyn.pixels.attributes import numbers, text
from tests.files.made import Array, dicom, refusal, stored_as


def smooth(bits: int, low: int = 0, shape: tuple[int, int] = (48, 40)) -> Array:
    """A smooth film of whole numbers that uses all of some bits."""
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]]
    wave = np.sin(rows / 9) * np.cos(columns / 11) + rows / 20 + columns / 40
    wave = (wave - wave.min()) / (wave.max() - wave.min())
    return np.asarray(np.rint(wave * (2**bits - 1)).astype(np.int64) + low)


def words_of(values: Array, allocated: int, stored: int, high: int, rubbish: Array | None = None) -> Array:
    """Words with values as two's complements below the high bit, and rubbish in all other bits."""
    shift = high + 1 - stored
    held = (values & (2**stored - 1)) << shift
    if rubbish is not None:
        held |= rubbish & ~((2**stored - 1) << shift) & (2**allocated - 1)
    return np.asarray(held.astype(f"u{allocated // 8}"))


def read(ds: Dataset) -> Array:
    with TemporaryDirectory() as folder:
        return read_radiograph(stored_as(Path(folder) / "a.dcm", ds))


def refused(ds: Dataset) -> str:
    with TemporaryDirectory() as folder:
        return refusal(stored_as(Path(folder) / "a.dcm", ds))


LAYOUTS = st.sampled_from([8, 16, 32]).flatmap(
    lambda allocated: st.tuples(st.just(allocated), st.integers(min(allocated, 6), min(allocated, 20)))
)


@given(layout=LAYOUTS, above=st.integers(0, 31), signed=st.booleans(), unused=st.booleans(), seed=st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_values_of_any_bits(layout: tuple[int, int], above: int, signed: bool, unused: bool, seed: int) -> None:
    allocated, stored = layout
    high = stored - 1 + above % (allocated - stored + 1)
    low = -(2 ** (stored - 1)) if signed else 0
    values = smooth(stored, low)
    rng = np.random.default_rng(seed)
    rubbish = rng.integers(0, 2**allocated, values.shape) if unused else None
    ds = dicom(words_of(values, allocated, stored, high, rubbish), bits=stored, HighBit=high)
    ds.PixelRepresentation = int(signed)
    np.testing.assert_allclose(read(ds), (values - low) / (2**stored - 1), atol=1e-6)


@given(
    center=st.floats(-500, 4600), width=st.floats(1.5, 9000), slope=st.sampled_from([1, 0.5, -1, 2.5]),
    intercept=st.sampled_from([0, -1024, 100]), function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID", ""]),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_windows_as_the_standard_computes_them(
    center: float, width: float, slope: float, intercept: float, function: str
) -> None:
    center, width = round(center, 2), round(width, 2)
    values = smooth(12)
    ds = dicom(values.astype(np.uint16), RescaleSlope=slope, RescaleIntercept=intercept)
    ds.WindowCenter, ds.WindowWidth, ds.VOILUTFunction = center, width, function
    x = values * slope + intercept
    if function == "SIGMOID":
        expected = 1 / (1 + np.exp(np.clip(-4 * (x - center) / width, -700, 700)))
    elif function == "LINEAR_EXACT":
        expected = np.clip((x - center) / width + 0.5, 0, 1)
    else:
        expected = np.clip((x - (center - 0.5)) / (width - 1) + 0.5, 0, 1)
    black_or_white = ((expected <= 1 / 512) | (expected >= 511 / 512)).mean()
    if black_or_white > 0.6 or np.ptp(expected) < 0.06:
        assert f"WindowCenter {center:g}, WindowWidth {width:g}" in refused(ds)
        return
    assume(black_or_white < 0.5 and np.ptp(expected) > 0.07)
    np.testing.assert_allclose(read(ds), expected, atol=1e-6)


def test_a_sign_that_was_not_extended_and_one_that_is_none() -> None:
    signed = smooth(12, -2048)
    ds = dicom((signed & 4095).astype(np.int16))  # the bits above the sign are 0
    np.testing.assert_allclose(read(ds), (signed + 2048) / 4095, atol=1e-6)
    plain = smooth(12)
    ds = dicom(plain.astype(np.int16))  # unsigned, though the header says signed
    image = read(ds)
    assert np.corrcoef(image.ravel(), plain.ravel())[0, 1] > 0.999


@pytest.mark.parametrize("bits", [13, 14, 16])
def test_more_bits_than_stated(bits: int) -> None:
    values = smooth(bits)
    ds = dicom(values.astype(np.uint16), bits=12)
    np.testing.assert_allclose(read(ds), values / (2**bits - 1), atol=1e-6)


def test_overlays_in_unused_bits_are_no_film() -> None:
    values = smooth(12)
    flags = np.zeros_like(values)
    flags[10:20, 5:30] = 1 << 14
    ds = dicom((values | flags).astype(np.uint16))
    np.testing.assert_allclose(read(ds), values / 4095, atol=1e-6)
    ds.add_new(0x60000100, "US", 16)
    ds.add_new(0x60000102, "US", 14)
    np.testing.assert_allclose(read(ds), values / 4095, atol=1e-6)


def test_a_high_bit_that_is_wrong() -> None:
    values = smooth(12)
    ds = dicom(values.astype(np.uint16), HighBit=15)  # the values stand in the low bits
    np.testing.assert_allclose(read(ds), values / 4095, atol=1e-6)


@pytest.mark.parametrize(("precision", "stated", "high"), [
    (14, 12, 11), (12, 12, 11), (10, 12, 11), (12, 16, 15), (16, 12, 15), (15, 15, 14),
])  # fmt: skip
def test_the_precision_of_a_codestream_counts(precision: int, stated: int, high: int) -> None:
    values = smooth(precision)
    if high == 15 and precision == 16 and stated == 12:
        values = smooth(12) << 4
    ds = dicom(values.astype(np.uint16), bits=precision)
    ds.compress(JPEG2000Lossless, generate_instance_uid=False)
    ds.BitsStored, ds.HighBit = stated, high
    np.testing.assert_allclose(read(ds), values / (2.0**precision - 1), atol=2e-3 if high == 15 else 1e-6)


def test_a_codestream_wider_than_its_values_keeps_their_range() -> None:
    values = smooth(12)
    ds = dicom(values.astype(np.uint16), bits=16)
    ds.compress(JPEG2000Lossless, generate_instance_uid=False)
    ds.BitsStored, ds.HighBit = 12, 11
    np.testing.assert_allclose(read(ds), values / 4095, atol=1e-6)


@pytest.mark.parametrize("what", ["rows", "columns", "samples", "huge"])
def test_a_codestream_of_another_size_is_refused(what: str) -> None:
    values = smooth(12).astype(np.uint16)
    ds = dicom(values)
    ds.compress(JPEG2000Lossless, generate_instance_uid=False)
    frame = bytearray(next(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=1)))
    siz = frame.index(b"\xff\x51")
    if what == "huge":
        frame[siz + 6 : siz + 14] = (65000).to_bytes(4, "big") * 2
        ds.Rows = ds.Columns = 65000
    elif what == "samples":
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    else:
        at = siz + (10 if what == "rows" else 6)
        frame[at : at + 4] = (99).to_bytes(4, "big")
    ds.PixelData = encapsulate([bytes(frame)])
    reason = refused(ds)
    assert ("claims 4225000000 pixels" if what == "huge" else "its compressed pixels are") in reason


TABLE = list(range(0, 4096))


def voi(levels: Any, first: int, bits: int, *, vr: str = "OW", entries: int | None = None) -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [entries or len(levels), first, bits])
    item.add_new("LUTData", vr, np.asarray(levels, "<u2").tobytes() if vr == "OW" else [int(each) for each in levels])
    return Sequence([item])


@pytest.mark.parametrize(("bits", "top"), [(16, 4095), (16, 16383), (12, 4095), (8, 4095), (10, 65535), (16, 40000)])
@pytest.mark.parametrize("vr", ["OW", "US"])
def test_a_table_defines_its_range_where_its_descriptor_is_wrong(bits: int, top: int, vr: str) -> None:
    values = smooth(12)
    levels = np.rint(np.linspace(0, top, 4096)).astype(np.uint16)
    ds = dicom(values.astype(np.uint16), VOILUTSequence=voi(levels, 0, bits, vr=vr))
    np.testing.assert_allclose(read(ds), levels[values] / top, atol=1e-6)


def test_a_table_whose_first_value_is_of_another_sign() -> None:
    values = smooth(12, -2048)
    for first in (-2048, 65536 - 2048):
        ds = dicom(values.astype(np.int16), VOILUTSequence=voi(TABLE, first, 12, vr="US"))
        np.testing.assert_allclose(read(ds), (values + 2048) / 4095, atol=1e-6)


def test_tables_that_cannot_be_used_are_named() -> None:
    values = smooth(12).astype(np.uint16)
    ds = dicom(values, VOILUTSequence=voi(TABLE[:100], 0, 12, entries=4096))
    assert "VOILUTSequence (LUTDescriptor 4096\\0\\12) holds 100 entries" in refused(ds)
    ds = dicom(values, VOILUTSequence=voi([0] * 4096, 0, 12))
    assert "holds only 0" in refused(ds)
    ds = dicom(values, VOILUTSequence=voi([0, 4095], 100, 12))
    assert "of the film black or white" in refused(ds)
    ds = dicom(values, VOILUTSequence=Sequence([Dataset()]))  # an empty item is no table
    np.testing.assert_allclose(read(ds), smooth(12) / 4095, atol=1e-6)


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"WindowCenter": 2048, "WindowWidth": 0}, "window (WindowCenter 2048, WindowWidth 0, LINEAR) leaves no grey"),
        ({"WindowCenter": 2048, "WindowWidth": 1}, "WindowWidth 1, LINEAR) leaves no grey"),
        ({"WindowCenter": 2048, "WindowWidth": -400}, "WindowWidth -400"),
        ({"WindowCenter": 9000, "WindowWidth": 100}, "its values run from 0 to 4095; set a window that spans them"),
        ({"WindowCenter": -9000, "WindowWidth": 100}, "of the film black or white"),
        ({"WindowCenter": 2048, "WindowWidth": 60}, "of the film black or white"),
        ({"WindowCenter": 2048, "WindowWidth": 2e6}, "leaves grey levels from 0.499 to 0.501"),
        ({"WindowCenter": "nan", "WindowWidth": 60}, "WindowCenter is nan, no number"),
        ({"WindowCenter": 2048, "WindowWidth": "wide"}, "WindowWidth is wide, no number"),
        ({"RescaleSlope": 0, "RescaleIntercept": 5}, "RescaleSlope is 0"),
        ({"RescaleSlope": "inf", "RescaleIntercept": 5}, "RescaleSlope is inf, no number"),
        ({"RescaleSlope": "x"}, "RescaleSlope is x, no number"),
        ({"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 4095}, "PixelPaddingValue names every pixel"),
        ({"PixelPaddingValue": 500, "PixelPaddingRangeLimit": 4095}, "PixelPaddingValue 500 to 4095"),
        ({"BitsStored": 17}, "BitsStored is 17, not 1 to 16"),
        ({"HighBit": 16}, "HighBit is 16"),
        ({"Rows": 0}, "states 0 x 40 pixels"),
        ({"NumberOfFrames": 10**9}, "1000000000 frames"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR without a readable palette"),
    ],
)
def test_what_leaves_no_film_is_refused_by_name(elements: dict[str, Any], reason: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = dicom(smooth(12).astype(np.uint16))
        for name, value in elements.items():
            if isinstance(value, str) and name != "PhotometricInterpretation":
                tag, data = Tag(name), value.encode().ljust(-(-len(value) // 2) * 2)
                ds[tag] = RawDataElement(tag, "DS", len(data), data, 0, False, True)
            else:
                setattr(ds, name, value)
        assert reason in refused(ds)


@pytest.mark.parametrize(
    "elements",
    [
        {"RescaleSlope": "", "RescaleIntercept": ""},
        {"RescaleSlope": None},
        {"RescaleIntercept": 0},
        {"RescaleSlope": 1, "RescaleIntercept": "", "RescaleType": "US"},
        {"WindowCenter": "", "WindowWidth": ""},
        {"WindowCenter": ["", "2048"], "WindowWidth": ["", "4096"]},
        {"WindowCenter": ["2048", "9"], "WindowWidth": ["4096", "2"]},
        {"WindowCenter": 2048, "WindowWidth": 4096, "VOILUTFunction": ""},
        {"VOILUTSequence": []},
        {"PixelPaddingValue": 60000},
        {"HighBit": None},
    ],
)
def test_empty_and_missing_attributes_state_nothing(elements: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = dicom(smooth(12).astype(np.uint16))
        for name, value in elements.items():
            setattr(ds, name, value) if value is not None or name == "RescaleSlope" else delattr(ds, name)
    np.testing.assert_allclose(read(ds), smooth(12) / 4095, atol=2e-4)


def test_padding_beyond_the_bits_is_dark_and_changes_nothing_else() -> None:
    values = smooth(12)
    words = values.astype(np.uint16)
    words[:12] = 65535
    expected = values / 4095
    expected[:12] = 0
    np.testing.assert_allclose(read(dicom(words, PixelPaddingValue=65535)), expected, atol=1e-6)
    signed = words.view(np.int16).copy()
    signed[12:] -= 2048
    np.testing.assert_allclose(
        read(dicom(signed, PixelPaddingValue=-1)), np.where(signed == -1, 0, expected), atol=1e-6
    )


def test_a_collimated_border_is_no_lost_film() -> None:
    values = smooth(12, 0, (60, 60))
    values[:, 24:] = np.random.default_rng(0).integers(0, 40, (60, 36))  # 60 % of the film, dark noise
    image = read(dicom(values.astype(np.uint16), WindowCenter=2100, WindowWidth=4000))
    assert (image[:, 24:] == 0).all()


@pytest.mark.parametrize("bits", [8, 16])
def test_grey_palettes_are_read_and_coloured_ones_are_not(bits: int) -> None:
    indices = smooth(8).astype(np.uint8)
    levels = np.arange(256) * (257 if bits == 16 else 1)
    ds = dicom(indices, bits=8, PhotometricInterpretation="PALETTE COLOR")
    for colour in ("Red", "Green", "Blue"):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, bits])
        setattr(ds, f"{colour}PaletteColorLookupTableData", levels.astype("<u2" if bits == 16 else np.uint8).tobytes())
    np.testing.assert_allclose(read(ds), indices / 255, atol=1e-6)
    ds.BluePaletteColorLookupTableData = levels[::-1].astype("<u2" if bits == 16 else np.uint8).tobytes()
    assert "is coloured" in refused(ds)


def test_planes_of_colour_and_1_bit() -> None:
    grey = smooth(8).astype(np.uint8)
    ds = dicom(np.stack([grey] * 3), bits=8, PhotometricInterpretation="RGB", SamplesPerPixel=3, PlanarConfiguration=1)
    ds.Rows, ds.Columns = grey.shape
    np.testing.assert_array_equal(read(ds), grey / np.float32(255))
    ds = dicom(grey, bits=1, BitsAllocated=1, PixelData=np.packbits(grey > 99, bitorder="little").tobytes())
    assert "1 bit per pixel" in refused(ds)


def test_attributes_as_numbers_and_text() -> None:
    ds = Dataset()
    assert numbers(ds, "WindowCenter") == []
    ds.WindowCenter = ["1", "", "3"]
    assert numbers(ds, "WindowCenter") == [1, None, 3]
    ds.ImageComments = " thorax\x07 pa " + "x" * 300
    assert text(ds, "ImageComments").startswith("THORAX? PA XX")
    assert len(text(ds, "ImageComments")) == 200
