"""Damaged DICOM for `benchmarks.hostile`: radiographs in every compression."""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread, uid
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames

from benchmarks.hostile_damage import Edit, Rng, Tree, choice, zlib_bomb
from benchmarks.hostile_pictures import encoded, grey, jpeg_claims

LONG = (b"OB", b"OW", b"OF", b"SQ", b"UN", b"UC", b"UR", b"UT", b"OD", b"OL", b"SV", b"UV", b"OV")
"""Kinds of values whose length has four bytes."""
DEPTH = 20_000
"""Sequences inside one another."""


def header(pixels: NDArray[Any], *, bits: int, syntax: str = uid.ExplicitVRLittleEndian) -> Dataset:
    """A computed radiograph without pixel data."""
    film = Dataset()
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = uid.UID(syntax)
    film.file_meta.MediaStorageSOPClassUID = film.SOPClassUID = uid.ComputedRadiographyImageStorage
    film.file_meta.MediaStorageSOPInstanceUID = film.SOPInstanceUID = uid.UID("1.2.3")
    film.Modality, film.PhotometricInterpretation, film.SamplesPerPixel = "CR", "MONOCHROME2", 1
    film.Rows, film.Columns = pixels.shape[:2]
    film.BitsAllocated, film.BitsStored, film.HighBit = 8 * pixels.dtype.itemsize, bits, bits - 1
    film.PixelRepresentation = int(pixels.dtype.kind == "i")
    film.PixelSpacing, film.PatientOrientation = [0.2, 0.2], ["L", "F"]
    film.WindowCenter, film.WindowWidth = 2.0 ** (bits - 1), 2.0**bits
    film.RescaleSlope, film.RescaleIntercept = 1, 0
    return film


def stored(film: Dataset, data: bytes | list[bytes]) -> bytes:
    """A DICOM file: of plain pixel data, or of frames that are compressed."""
    film.PixelData = encapsulate(data) if isinstance(data, list) else data
    film["PixelData"].VR = "OB" if isinstance(data, list) or film.BitsAllocated == 8 else "OW"
    buffer = BytesIO()
    film.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def lossless_jpeg(pixels: NDArray[Any], bits: int) -> bytes:
    """A lossless JPEG (process 14, first selection value) with one Huffman code of five bits for every category.

    Source: ITU-T T.81, annex H.
    """
    values = pixels.astype(np.int64)
    before = np.empty_like(values)
    before[:, 1:], before[1:, 0], before[0, 0] = values[:, :-1], values[:-1, 0], 2 ** (bits - 1)
    change = (values - before).ravel()
    size = np.ceil(np.log2(np.abs(change) + 1)).astype(np.int64)
    extra = np.where(change < 0, change + 2**size - 1, change)
    word, length = size << size | extra, 5 + size
    at = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    stream = np.repeat(word, length) >> (np.repeat(length, length) - 1 - at) & 1
    stream = np.append(stream, np.ones(-len(stream) % 8, np.int64))
    body = np.packbits(stream.astype(np.uint8)).tobytes().replace(b"\xff", b"\xff\0")
    code = b"\xff\xc4" + struct.pack(">HB", 36, 0) + bytes([0, 0, 0, 0, 17, *[0] * 11]) + bytes(range(17))
    frame = b"\xff\xc3" + struct.pack(">HBHHB3B", 11, bits, *pixels.shape, 1, 1, 0x11, 0)
    return b"\xff\xd8" + code + frame + b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 1, 0, 0) + body + b"\xff\xd9"


def radiographs() -> dict[str, Tree]:
    """One intact radiograph of every transfer syntax that is read."""
    eight, deep = grey(), grey(12)
    near = dcmread(str(get_testdata_file("MR_small_jpeg_ls_lossless.dcm")))
    loco = header(np.zeros((64, 64), np.int16), bits=16, syntax=uid.JPEGLSLossless)
    loco.WindowCenter, loco.WindowWidth = 600, 1200
    packed = {}
    for name, syntax in (("jpeg2000.dcm", uid.JPEG2000Lossless), ("rle.dcm", uid.RLELossless)):
        film = header(deep, bits=12)
        film.PixelData = deep.tobytes()
        film.compress(syntax, encoding_plugin="pylibjpeg" if "2000" in name else "pydicom", generate_instance_uid=False)
        packed[name] = stored(film, list(generate_frames(film.PixelData, number_of_frames=1)))
    files = {
        "a.dcm": stored(header(deep, bits=12), deep.tobytes()),
        "eight.dcm": stored(header(eight, bits=8), eight.tobytes()),
        "implicit.dcm": stored(header(deep, bits=12, syntax=uid.ImplicitVRLittleEndian), deep.tobytes()),
        "deflated.dcm": stored(header(deep, bits=12, syntax=uid.DeflatedExplicitVRLittleEndian), deep.tobytes()),
        "jpeg.dcm": stored(header(eight, bits=8, syntax=uid.JPEGBaseline8Bit), [encoded(eight, "JPEG", quality=95)]),
        "lossless.dcm": stored(header(deep, bits=12, syntax=uid.JPEGLosslessSV1), [lossless_jpeg(deep, 12)]),
        "jpegls.dcm": stored(loco, list(generate_frames(near.PixelData, number_of_frames=1))),
        **packed,
    }
    return {name: Tree({name: data}, name) for name, data in files.items()}


# Elements -----------------------------------------------------------------------------------------------

Element = tuple[bytes, bytes, bytes]
"""Tag, kind and value as in a file of explicit VR, little endian."""
UNDEFINED = b"\xff\xff\xff\xff"


def elements_of(data: bytes) -> list[Element]:
    """Splits a data set into its elements; the compressed frames are one value."""
    found, at = [], 0
    while at < len(data):
        tag, kind = data[at : at + 4], data[at + 4 : at + 6]
        length = data[at + 8 : at + 12] if kind in LONG else data[at + 6 : at + 8]
        at += 12 if kind in LONG else 8
        end = len(data) if length == UNDEFINED else at + int.from_bytes(length, "little")
        found.append((tag, kind, data[at:end]))
        at = end
    return found


def joined(elements: list[Element]) -> bytes:
    """Joins elements to a data set; pixel data of frames keep their undefined length."""
    parts = []
    for tag, kind, value in elements:
        frames = tag == PIXELS and value[:4] == b"\xfe\xff\x00\xe0"
        length = UNDEFINED if frames else struct.pack("<I", len(value))
        parts.append(tag + kind + (b"\0\0" + length if kind in LONG else length[:2]) + value)
    return b"".join(parts)


PIXELS = b"\xe0\x7f\x10\x00"


def parts_of(data: bytes) -> tuple[bytes, list[Element]]:
    """Splits a file of explicit VR into the part before the data set, and the elements; deflated ones are unpacked."""
    end = 132 + 12 + int.from_bytes(data[140:144], "little")
    rest = data[end:]
    if uid.DeflatedExplicitVRLittleEndian.encode() in data[:end]:
        rest = zlib.decompress(rest, -15)
    return data[:end], elements_of(rest)


def whole(start: bytes, elements: list[Element], more: bytes = b"") -> bytes:
    """Joins the parts of a file again."""
    rest = joined(elements) + more
    if uid.DeflatedExplicitVRLittleEndian.encode() in start:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        rest = packer.compress(rest) + packer.flush()
    return start + rest


WORDS = tuple(struct.pack("<H", value) for value in (0, 1, 2, 3, 8, 12, 16, 17, 32, 64, 255, 32768, 65500, 65535))
TEXTS = (
    b"", b" ", b"0", b"1", b"-1", b"1000000000", b"9" * 30, b"1.5", b"NaN", b"inf", b"1e999", b"-1e308", b"1e-320",
    b"abc", b"1\\2\\3\\4\\5\\6\\7", b"\\", b"1\\", b"0\\0\\0", b"%s%n", b"\xff\xfe", b"\0\0", b"x" * 65_000, b"1,5",
)  # fmt: skip
"""Values in place of numbers and texts."""


def _explicit(data: bytes) -> bool:
    return uid.ImplicitVRLittleEndian.encode() + b"\0" not in data[:400]


def _edited(rng: Rng, tree: Tree, change: Callable[[list[Element]], str]) -> Tree:
    """Changes the elements of one file, or of all, which have the same elements."""
    names = [choice(rng, list(tree.files))] if rng.random() < 0.5 else list(tree.files)
    state, label = rng.bit_generator.state, ""
    for name in names:
        if not _explicit(tree.bytes_of(name)):
            return tree
        rng.bit_generator.state = state
        start, elements = parts_of(tree.bytes_of(name))
        label = change(elements)
        if not label:
            return tree
        tree = tree.having(name, whole(start, elements), label)
    return tree


def element_edit(rng: Rng, tree: Tree) -> Tree:
    """Gives an element another value, loses or repeats it."""

    def change(elements: list[Element]) -> str:
        at = int(rng.integers(len(elements)))
        tag, kind, value = elements[at]
        keyword = f"{int.from_bytes(tag[:2], 'little'):04x},{int.from_bytes(tag[2:], 'little'):04x}"
        how = choice(rng, ("value", "value", "value", "value", "kind", "lost", "repeated", "moved"))
        if how == "value" and tag == PIXELS:
            elements[at] = (tag, kind, choice(rng, (b"", value[: len(value) // 2 * 1], value + bytes(64), value * 4)))
        elif how == "value":
            pool = WORDS if kind in (b"US", b"SS") else TEXTS
            elements[at] = (tag, kind, choice(rng, (*pool, *TEXTS) if rng.random() < 0.2 else pool))
        elif how == "kind":
            elements[at] = (tag, choice(rng, (b"SQ", b"UN", b"OB", b"DS", b"US", b"FD", b"AT", b"ZZ", b"\0\0")), value)
        elif how == "lost":
            del elements[at]
        elif how == "repeated":
            elements.insert(at, (tag, kind, choice(rng, WORDS) if kind == b"US" else value))
        else:
            elements.insert(int(rng.integers(len(elements))), elements.pop(at))
        return f"DICOM element {keyword}: {how}"

    return _edited(rng, tree, change)


def element_added(rng: Rng, tree: Tree) -> Tree:
    """Adds an element that changes how pixels are read, with a hostile value."""
    kinds = {
        "NumberOfFrames": (0x0028, 0x0008, b"IS"),
        "PixelPaddingValue": (0x0028, 0x0120, b"US"),
        "PixelPaddingRangeLimit": (0x0028, 0x0121, b"US"),
        "PlanarConfiguration": (0x0028, 0x0006, b"US"),
        "PresentationLUTShape": (0x2050, 0x0020, b"CS"),
        "SpecificCharacterSet": (0x0008, 0x0005, b"CS"),
        "VOILUTFunction": (0x0028, 0x1056, b"CS"),
        "ViewPosition": (0x0018, 0x5101, b"CS"),
        "ImageType": (0x0008, 0x0008, b"CS"),
        "ExtendedOffsetTable": (0x7FE0, 0x0001, b"OV"),
        "VOILUTSequence": (0x0028, 0x3010, b"SQ"),
        "ModalityLUTSequence": (0x0028, 0x3000, b"SQ"),
        "PaletteDescriptor": (0x0028, 0x1101, b"US"),
    }
    name = choice(rng, list(kinds))
    group, number, kind = kinds[name]
    value = choice(rng, WORDS if kind == b"US" else TEXTS)
    if kind == b"SQ":
        value = _table(rng)

    def change(elements: list[Element]) -> str:
        elements.append((struct.pack("<HH", group, number), kind, value))
        elements.sort(key=lambda each: struct.unpack("<HH", each[0]))
        return f"DICOM {name} added"

    return _edited(rng, tree, change)


def _table(rng: Rng) -> bytes:
    """An item with a lookup table whose descriptor may be wrong."""
    count, first, bits = (
        choice(rng, (0, 1, 16, 4096, 65535)),
        choice(rng, (0, 1000, 65535)),
        choice(rng, (0, 8, 12, 99)),
    )
    entries = struct.pack("<HHH", count, first, bits)[: choice(rng, (6, 6, 6, 4, 0))]
    data = np.linspace(0, 4095, choice(rng, (0, 1, 16, 4096))).astype("<u2").tobytes()
    item = joined([(b"\x28\x00\x02\x30", b"US", entries), (b"\x28\x00\x06\x30", b"OW", data)])
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(item)) + item


def frames_edit(rng: Rng, tree: Tree) -> Tree:
    """Damages the compressed frame, its fragments, or the size that the frame claims."""

    def change(elements: list[Element]) -> str:
        at = next((n for n, each in enumerate(elements) if each[0] == PIXELS), None)
        if at is None or elements[at][2][:4] != b"\xfe\xff\x00\xe0":
            return ""
        frame = next(generate_frames(elements[at][2], number_of_frames=1))
        how = choice(
            rng,
            (
                "claims",
                "claims, as the header",
                "bytes",
                "fragments",
                "RLE counts",
                "RLE bomb",
                "offsets",
                "item length",
            ),
        )
        rows, columns = choice(rng, ((65_000, 65_000), (30_000, 30_000), (0, 0), (96, 81), (20_000, 4)))
        if how.startswith("claims"):
            frame = _claims(frame, rows, columns)
        if how == "claims, as the header":
            claimed = {b"\x28\x00\x10\x00": rows, b"\x28\x00\x11\x00": columns}
            elements[:] = [(t, k, struct.pack("<H", claimed[t]) if t in claimed else v) for t, k, v in elements]
        elif how == "bytes":
            place = int(rng.integers(len(frame)))
            frame = frame[:place] + rng.bytes(4) + frame[place + 4 :]
        elif how == "RLE bomb":
            frame = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * 4_000_000
        elif how == "RLE counts":
            counts = struct.pack("<I", choice(rng, (0, 1, 3, 15, 16, 2**31, 2**32 - 1)))
            place = 4 * int(rng.integers(4))
            frame = frame[:place] + counts + frame[place + 4 :]
        value = encapsulate([frame], fragments_per_frame=3 if how == "fragments" else 1)
        if how == "offsets":
            value = value[:4] + struct.pack("<II", 4, choice(rng, (1, 8, 2**31, 2**32 - 4))) + value[12:]
        elif how == "item length":
            place = value.find(b"\xfe\xff\x00\xe0", 4) + 4
            value = value[:place] + struct.pack("<I", choice(rng, (0, 1, 2**31, 2**32 - 2))) + value[place + 4 :]
        elements[at] = (PIXELS, b"OB", value + b"\xfe\xff\xdd\xe0\0\0\0\0")
        return f"DICOM frame: {how}"

    return _edited(rng, tree, change)


def _claims(frame: bytes, rows: int, columns: int) -> bytes:
    """A frame whose code stream claims another size; RLE claims none."""
    at = frame.find(b"\xff\x51")  # JPEG 2000
    if at >= 0:
        return frame[: at + 6] + struct.pack(">II", columns, rows) + frame[at + 14 :]
    return jpeg_claims(frame, rows, columns)


SYNTAXES = (
    uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.DeflatedExplicitVRLittleEndian,
    uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000, uid.RLELossless,
    uid.MPEG2MPML, uid.HTJ2KLossless, "1.2.3.4", "", "%s%n", "1" * 64,
)  # fmt: skip


def syntax_edit(rng: Rng, tree: Tree) -> Tree:
    """States another transfer syntax than that of the data."""
    name, syntax = choice(rng, list(tree.files)), str(choice(rng, SYNTAXES)).encode()
    data = tree.bytes_of(name)
    end = 144 + int.from_bytes(data[140:144], "little")
    at = data.index(b"\x02\0\x10\0UI", 132, end)
    after = at + 8 + int.from_bytes(data[at + 6 : at + 8], "little")
    syntax += b"\0" * (len(syntax) % 2)
    meta = data[144:at] + data[at : at + 6] + struct.pack("<H", len(syntax)) + syntax + data[after:end]
    out = data[:140] + struct.pack("<I", len(meta)) + meta + data[end:]
    return tree.having(name, out, f"DICOM syntax {syntax.decode()[:24]}")


def dicom_bomb(rng: Rng, tree: Tree) -> Tree:
    """A deflated data set of gigabytes, sequences without end, or a size that nothing can hold."""
    name = choice(rng, list(tree.files))
    start, elements = parts_of(stored(header(grey(12), bits=12), grey(12).tobytes()))
    how = choice(rng, ("deflated", "deflated pixels", "nested", "many elements", "pixels"))
    if how.startswith("deflated"):
        film = header(np.zeros((65_000, 32_000), np.uint16), bits=12, syntax=uid.DeflatedExplicitVRLittleEndian)
        start, elements = parts_of(stored(film, b""))
        elements = [each for each in elements if each[0] != PIXELS]
        tag = PIXELS if how == "deflated pixels" else b"\x09\x00\x10\x10"
        beginning = joined(elements) + tag + b"OW\0\0" + struct.pack("<I", 2 * 65_000 * 32_000)
        data = start + zlib_bomb(4, raw=True, start=beginning)
    elif how == "nested":
        level = b"\x08\x00\x40\x11SQ\0\0" + UNDEFINED + b"\xfe\xff\x00\xe0" + UNDEFINED
        data = start + level * DEPTH + joined(elements)
    elif how == "many elements":
        data = whole(start, elements[:6]) + elements_many() + joined(elements[6:])
    else:
        sized = {b"\x28\x00\x10\x00": WORDS[-1], b"\x28\x00\x11\x00": WORDS[-1]}
        data = whole(start, [(tag, kind, sized.get(tag, value)) for tag, kind, value in elements])
    return tree.having(name, data, f"DICOM bomb: {how}")


@functools.cache
def elements_many() -> bytes:
    """A hundred thousand private elements."""
    return b"".join(struct.pack("<HH2sH", 0x0019, 0x1000 + n % 60_000, b"US", 2) + b"\1\0" for n in range(100_000))


RADIOGRAPH_EDITS: tuple[Edit, ...] = (
    element_edit,
    element_edit,
    element_added,
    frames_edit,
    frames_edit,
    syntax_edit,
    dicom_bomb,
)
