"""Reading DICOM: values, turns, transfer syntaxes and refusals; files made here, of pydicom, or real."""

from __future__ import annotations

import struct
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from artasyn.files.radiograph import is_radiograph_file, read_radiograph
from tests.files.made import GREYS, RNG, Array, dicom, film, refusal, stored_as, table, tiled

PATTERN = [[0, 512, 1023, 1024], [1536, 2047, 2048, 2560], [3071, 3072, 3583, 3584], [4000, 4094, 4095, 4095]]


def test_without_a_window_the_stored_bits_span_the_range(tmp_path: Path) -> None:
    image = read_radiograph(stored_as(tmp_path / "a", dicom(tiled(PATTERN))))
    np.testing.assert_allclose(image[:4, :4], np.array(PATTERN) / 4095, atol=1e-7)
    signed = tiled(PATTERN, np.int16) - np.int16(2048)
    image = read_radiograph(stored_as(tmp_path / "b", dicom(signed)))
    np.testing.assert_allclose(image[:4, :4], np.array(PATTERN) / 4095, atol=1e-7)


def test_linear_window_by_hand(tmp_path: Path) -> None:
    # PS3.3 C.11.2.1.2.1: black up to c - 0.5 - (w - 1) / 2 = 1024, white above c - 0.5 + (w - 1) / 2 = 3072
    ds = dicom(tiled(PATTERN), WindowCenter=2048.5, WindowWidth=2049)
    image = read_radiograph(stored_as(tmp_path / "a.dcm", ds))
    expected = np.array([[0, 0, 0, 0], [512, 1023, 1024, 1536], [2047, 2048, 2048, 2048], [2048] * 4]) / 2048
    np.testing.assert_allclose(image[:4, :4], expected, atol=1e-7)


def test_linear_exact_and_sigmoid_windows_by_hand(tmp_path: Path) -> None:
    ds = dicom(tiled(PATTERN), WindowCenter=[2048, 9], WindowWidth=[2048, 9], VOILUTFunction="LINEAR_EXACT")
    image = read_radiograph(stored_as(tmp_path / "a.dcm", ds))
    np.testing.assert_allclose(image[1, :4], [0.25, 1023 / 2048, 0.5, 0.75], atol=1e-7)
    ds.VOILUTFunction = "SIGMOID"
    image = read_radiograph(stored_as(tmp_path / "b.dcm", ds))
    np.testing.assert_allclose(image[1, [0, 2, 3]], np.array([0.26894142, 0.5, 0.73105858]), atol=1e-6)
    ds.WindowWidth = 2.5  # so steep that the exponential would overflow far below the centre
    assert "black or white" in refusal(stored_as(tmp_path / "c.dcm", ds))


def test_an_empty_window_is_no_window(tmp_path: Path) -> None:
    ds = dicom(tiled(PATTERN), WindowCenter="", WindowWidth="")
    plain = read_radiograph(stored_as(tmp_path / "a.dcm", dicom(tiled(PATTERN))))
    np.testing.assert_array_equal(read_radiograph(stored_as(tmp_path / "b.dcm", ds)), plain)
    ds.WindowCenter = 5
    del ds.WindowWidth
    np.testing.assert_array_equal(read_radiograph(stored_as(tmp_path / "c.dcm", ds)), plain)


@pytest.mark.parametrize("windowed", [False, True])
def test_rescaled_values(tmp_path: Path, windowed: bool) -> None:
    elements: dict[str, Any] = {"RescaleSlope": 2, "RescaleIntercept": -1000}
    if windowed:  # in rescaled units: 2 * 1024 - 1000 = 1048 to 2 * 3072 - 1000 = 5144
        elements |= {"WindowCenter": 3096.5, "WindowWidth": 4097}
    image = read_radiograph(stored_as(tmp_path / "a.dcm", dicom(tiled(PATTERN), **elements)))
    stored = np.array(PATTERN)
    expected = np.clip((stored - 1024) / 2048, 0, 1) if windowed else stored / 4095
    np.testing.assert_allclose(image[:4, :4], expected, atol=1e-6)


@pytest.mark.parametrize("windowed", [False, True])
def test_a_negative_slope_inverts_once(tmp_path: Path, windowed: bool) -> None:
    elements: dict[str, Any] = {"RescaleSlope": -1, "RescaleIntercept": 4095}
    if windowed:
        elements |= {"WindowCenter": 2048, "WindowWidth": 4096}
    image = read_radiograph(stored_as(tmp_path / "a.dcm", dicom(tiled(PATTERN), **elements)))
    np.testing.assert_allclose(image[:4, :4], 1 - np.array(PATTERN) / 4095, atol=1e-6)


@pytest.mark.parametrize("words", [False, True])
def test_modality_and_voi_tables(tmp_path: Path, words: bool) -> None:
    stored = tiled([[0, 1, 2, 3], [4, 5, 6, 7], [7, 7, 7, 7], [0, 0, 0, 0]])
    ds = dicom(stored, bits=8, VOILUTSequence=table([0, 100, 900, 1023], 3, 10, words=words))
    image = read_radiograph(stored_as(tmp_path / "a.dcm", ds))
    np.testing.assert_allclose(image[0, :4], 0)  # up to the first mapped value, 3
    np.testing.assert_allclose(image[1, :4] * 1023, [100, 900, 1023, 1023], atol=1e-3)
    ds.ModalityLUTSequence = table([7, 6, 5, 4, 3, 2, 1, 0], 0, 16, words=words)
    image = read_radiograph(stored_as(tmp_path / "b.dcm", ds))
    np.testing.assert_allclose(image[0, :4] * 1023, [1023, 1023, 900, 100], atol=1e-3)
    del ds.VOILUTSequence
    ds.ModalityLUTSequence = table([0, 10, 20, 30, 40, 50, 60, 65535], 0, 16, words=words)
    image = read_radiograph(stored_as(tmp_path / "c.dcm", ds))
    np.testing.assert_allclose(image[1, :4] * 65535, [40, 50, 60, 65535], atol=0.1)


def test_a_voi_table_of_8_bits_and_many_entries(tmp_path: Path) -> None:
    levels = (np.arange(4096) // 16).tolist()
    ds = dicom(tiled(PATTERN), VOILUTSequence=table(levels, 0, 8))
    expected = np.array(PATTERN) // 16 / 255
    np.testing.assert_allclose(read_radiograph(stored_as(tmp_path / "a.dcm", ds))[:4, :4], expected, atol=1e-7)
    ds.VOILUTSequence[0].add_new("LUTData", "OW", np.array(levels, np.uint8).tobytes())  # two in each word
    np.testing.assert_allclose(read_radiograph(stored_as(tmp_path / "b.dcm", ds))[:4, :4], expected, atol=1e-7)


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted"),
    [
        ("MONOCHROME2", None, False),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME1", None, True),
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME1", "IDENTITY", True),
        ("MONOCHROME2", "INVERSE", True),
    ],
)
@pytest.mark.parametrize("window", [None, (2048, 4096)])
def test_polarity(
    tmp_path: Path, photometric: str, shape: str | None, inverted: bool, window: tuple[int, int] | None
) -> None:
    ds = dicom(tiled(PATTERN), PhotometricInterpretation=photometric)
    if shape:
        ds.PresentationLUTShape = shape
    if window:
        ds.WindowCenter, ds.WindowWidth = window
    image = read_radiograph(stored_as(tmp_path / "a.dcm", ds))
    expected = np.array(PATTERN) / 4095
    np.testing.assert_allclose(image[:4, :4], 1 - expected if inverted else expected, atol=1e-6)


def test_padding_is_dark_and_leaves_the_range_alone(tmp_path: Path) -> None:
    ds = dicom(tiled(PATTERN), PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0)
    image = read_radiograph(stored_as(tmp_path / "a.dcm", ds))
    expected = 1 - np.array(PATTERN) / 4095
    expected[0, 0] = 0
    np.testing.assert_allclose(image[:4, :4], expected, atol=1e-7)
    ds.PixelPaddingRangeLimit = 1023
    expected[0, :3] = 0
    np.testing.assert_allclose(read_radiograph(stored_as(tmp_path / "b.dcm", ds))[:4, :4], expected, atol=1e-7)
    signed = tiled(PATTERN, np.int16) - np.int16(2048)
    ds = dicom(signed, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=-2048)
    image = read_radiograph(stored_as(tmp_path / "c.dcm", ds))
    assert image[0, 0] == 0
    assert image[0, 1] > 0.8


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (["L", "F"], lambda a: a),
        (["R", "F"], lambda a: a[:, ::-1]),
        (["L", "H"], lambda a: a[::-1]),
        (["R", "H"], lambda a: a[::-1, ::-1]),
        (["F", "L"], lambda a: a.T),
        (["H", "R"], lambda a: a.T[::-1, ::-1]),
        (["RF", "FL"], lambda a: a[:, ::-1]),
        (["L", "L"], lambda a: a),
        (["L"], lambda a: a),
        ("", lambda a: a),
    ],
)
def test_the_patients_right_comes_to_the_left(tmp_path: Path, orientation: Any, turn: Any) -> None:
    ds = dicom(film(), bits=8, PatientOrientation=orientation)
    image = read_radiograph(stored_as(tmp_path / "a.dcm", ds))
    np.testing.assert_array_equal(image, turn(film() / np.float32(255)))
    assert image.flags.c_contiguous


def test_grey_colours_in_dicom(tmp_path: Path) -> None:
    grey = np.dstack([film()] * 3)
    rgb = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PhotometricInterpretation": "RGB"}
    path = stored_as(tmp_path / "a.dcm", dicom(grey, bits=8, Modality="OT", **rgb))
    np.testing.assert_array_equal(read_radiograph(path), film() / np.float32(255))
    deep = grey.astype(np.uint16) * 257
    path = stored_as(tmp_path / "b.dcm", dicom(deep, bits=16, **rgb))
    np.testing.assert_allclose(read_radiograph(path), film() / np.float32(255))
    grey[:, :, 1] //= 2
    assert "is coloured" in refusal(stored_as(tmp_path / "c.dcm", dicom(grey, bits=8, **rgb)))
    name = get_testdata_file("SC_rgb_rle.dcm")
    assert "is coloured" in refusal(Path(str(name)))


def baseline(stored: Array) -> Dataset:
    buffer = BytesIO()
    PIL.Image.fromarray(stored).save(buffer, "JPEG", quality=98)
    ds = dicom(stored, bits=8)
    ds.PixelData = encapsulate([buffer.getvalue()])
    ds["PixelData"].VR = "OB"
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    return ds


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, ImplicitVRLittleEndian, "deflated", "big"])
def test_transfer_syntaxes_give_the_same_pixels(tmp_path: Path, syntax: str) -> None:
    stored = film(64, 64).astype(np.uint16) * 16
    ds = dicom(stored)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if syntax in (RLELossless, JPEG2000Lossless):
            ds.compress(syntax, generate_instance_uid=False)
        elif syntax == "deflated":
            ds.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
        elif syntax == "big":
            ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
            ds.PixelData = stored.byteswap().tobytes()
        else:
            ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    image = read_radiograph(stored_as(tmp_path / "a.dcm", ds))
    np.testing.assert_allclose(image * 4095, stored, atol=1e-3)


def test_jpeg_in_dicom(tmp_path: Path) -> None:
    path = stored_as(tmp_path / "a.dcm", baseline(film(64, 64)))
    np.testing.assert_allclose(read_radiograph(path) * 255, film(64, 64), atol=4)


@pytest.mark.parametrize("name", ["MR_small_jpeg_ls_lossless.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm"])
def test_compressed_files_of_pydicom(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Path(str(get_testdata_file("MR_small.dcm")))
    assert "modality MR" in refusal(plain)
    monkeypatch.setattr("artasyn.files.dicom.MODALITIES", ("MR",))
    np.testing.assert_array_equal(read_radiograph(str(get_testdata_file(name))), read_radiograph(plain))


@pytest.mark.parametrize("implicit", [False, True])
def test_dicom_without_preamble(tmp_path: Path, implicit: bool) -> None:
    ds = dicom(film(), bits=8)
    path = tmp_path / "no suffix"
    meta = ds.file_meta
    del ds.file_meta
    ds.save_as(path, implicit_vr=implicit, little_endian=True)
    assert path.read_bytes()[:2] == b"\x08\x00"
    np.testing.assert_array_equal(read_radiograph(path), film() / np.float32(255))
    ds.file_meta = meta
    whole = stored_as(tmp_path / "whole", ds).read_bytes()
    path.write_bytes(whole[132:])  # the header of group 2 without the preamble
    np.testing.assert_array_equal(read_radiograph(path), film() / np.float32(255))


@pytest.mark.parametrize("kind", ["plain", "rle", "jpeg", "jpeg2000"])
def test_cut_dicom_is_refused(tmp_path: Path, kind: str) -> None:
    stored = film(64, 64) + RNG.integers(0, 9, (64, 64), np.uint8)
    ds = baseline(stored) if kind == "jpeg" else dicom(stored, bits=8)
    if kind in ("rle", "jpeg2000"):
        ds.compress(RLELossless if kind == "rle" else JPEG2000Lossless, generate_instance_uid=False)
    path = stored_as(tmp_path / "a.dcm", ds)
    read_radiograph(path)
    whole = path.read_bytes()
    for end in (100, 131, 140, 200, 400, len(whole) // 2, len(whole) - 300, len(whole) - 9):
        path.write_bytes(whole[:end])
        refusal(path)


@pytest.mark.parametrize("kind", ["jpeg", "jpeg2000", "rle"])
def test_a_cut_stream_in_whole_dicom_is_refused(tmp_path: Path, kind: str) -> None:
    stored = film(64, 64) + RNG.integers(0, 9, (64, 64), np.uint8)
    ds = baseline(stored) if kind == "jpeg" else dicom(stored, bits=8)
    if kind != "jpeg":
        ds.compress(RLELossless if kind == "rle" else JPEG2000Lossless, generate_instance_uid=False)
    stream = next(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=1))
    ds.PixelData = encapsulate([stream[: len(stream) // 2]])
    reason = refusal(stored_as(tmp_path / "a.dcm", ds))
    assert ("cut short" if kind == "jpeg" else "not readable") in reason


def test_a_run_length_beyond_the_image_is_refused(tmp_path: Path) -> None:
    ds = dicom(GREYS.astype(np.uint16), bits=16)
    runs = bytes([129, 7]) * 3  # 3 x 128 bytes in each of two segments, where the image has 2 x 256
    ds.PixelData = encapsulate([struct.pack("<16I", 2, 64, 64 + len(runs), *[0] * 13) + 2 * runs])
    ds["PixelData"].VR = "OB"
    ds.file_meta.TransferSyntaxUID = RLELossless
    assert "not readable" in refusal(stored_as(tmp_path / "a.dcm", ds))


def test_an_interruption_is_no_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(film: Dataset, **options: Any) -> Array:
        raise KeyboardInterrupt

    monkeypatch.setattr("artasyn.files.dicom.pixels_of", interrupted)
    with pytest.raises(KeyboardInterrupt):
        read_radiograph(stored_as(tmp_path / "a.dcm", dicom(GREYS, bits=8)))


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Modality": "CT", "SOPClassUID": CTImageStorage}, "modality CT"),
        ({"Modality": "MG"}, "modality MG"),
        ({"Modality": None, "SOPClassUID": CTImageStorage}, "no modality"),
        ({"NumberOfFrames": 3}, "3 frames"),
        ({"PixelData": None}, "without pixels"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR"),
        ({"ViewPosition": "LL"}, "lateral view (ViewPosition LL)"),
        ({"ViewPosition": "RL"}, "lateral view"),
        ({"ViewPosition": "LATERAL"}, "lateral view"),
        ({"PatientOrientation": ["A", "F"]}, "lateral view (PatientOrientation A\\F)"),
        ({"RescaleSlope": 0, "RescaleIntercept": 1}, "RescaleSlope is 0"),
        ({"WindowCenter": 9, "WindowWidth": 0}, "WindowWidth 0"),
        ({"WindowCenter": 9, "WindowWidth": 9, "VOILUTFunction": "CUBIC"}, "CUBIC"),
        ({"BitsStored": None}, "without BitsStored"),
        ({"WindowCenter": 9000, "WindowWidth": 10}, "WindowCenter 9000, WindowWidth 10, LINEAR) makes"),
    ],
)
def test_dicom_that_is_no_frontal_film(tmp_path: Path, elements: dict[str, Any], reason: str) -> None:
    assert reason in refusal(stored_as(tmp_path / "a.dcm", dicom(tiled(PATTERN), **elements)))


def test_values_that_are_no_numbers(tmp_path: Path) -> None:
    ds = dicom(tiled(PATTERN))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds.RescaleSlope, ds.RescaleIntercept = "nan", 0
    assert "RescaleSlope is nan, no number" in refusal(stored_as(tmp_path / "a.dcm", ds))


def test_view_codes(tmp_path: Path) -> None:
    code = Dataset()
    code.CodeMeaning = "Right lateral projection"
    ds = dicom(tiled(PATTERN), ViewCodeSequence=Sequence([code]))
    assert "lateral view (ViewCodeSequence RIGHT LATERAL PROJECTION)" in refusal(stored_as(tmp_path / "a.dcm", ds))
    for meaning in ("Postero-anterior", "Left lateral decubitus"):
        code.CodeMeaning = meaning
        read_radiograph(stored_as(tmp_path / "b.dcm", ds))


@pytest.mark.parametrize(
    "elements",
    [
        {"Modality": "DX"},
        {"Modality": "OT"},
        {"Modality": "RG"},
        {"Modality": None},
        {"ViewPosition": "AP"},
        {"ViewPosition": "PA", "PatientOrientation": ["P", "F"]},
        {"ViewPosition": "LLD"},
        {"NumberOfFrames": 1},
        {
            "WindowCenter": "2048",
            "WindowWidth": "4096",
            "PatientAge": "forty",
        },  # a value against the standard
    ],
)
def test_dicom_that_is_a_frontal_film(tmp_path: Path, elements: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = dicom(tiled(PATTERN), **elements)
    image = read_radiograph(stored_as(tmp_path / "a.dcm", ds))
    np.testing.assert_allclose(image[:4, :4], np.array(PATTERN) / 4095, atol=1e-6)


@pytest.mark.realdata
def test_real_dicom_shows_dark_lungs(data: Path) -> None:
    names = sorted(path.name for path in (data / "dicom").iterdir() if is_radiograph_file(path))
    assert len(names) >= 5
    for name in names:
        image = read_radiograph(data / "dicom" / name)
        height, width = image.shape
        rows = slice(int(0.35 * height), int(0.5 * height))
        lungs = [image[rows, int(a * width) : int((a + 0.08) * width)].mean() for a in (0.24, 0.68)]
        spine = image[rows, int(0.46 * width) : int(0.54 * width)].mean()
        darker = max(lungs) < spine
        assert darker != name.startswith("txrv_fake"), name  # its tag says the opposite of its pixels
        assert image.max() - image.min() > 0.8


@pytest.mark.realdata
def test_the_same_pixels_tagged_monochrome1_are_inverted(data: Path) -> None:
    film2 = read_radiograph(data / "dicom" / "siim_cr8_mono2_chestPA_jpegbaseline.dcm")
    film1 = read_radiograph(data / "dicom" / "txrv_fake_mono1_same_pixels_as_siim.dcm")
    np.testing.assert_array_equal(np.rint(film1 * 255), 255 - np.rint(film2 * 255))
