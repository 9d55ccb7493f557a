"""Damaged pictures for `benchmarks.hostile`: PNG, JPEG, TIFF, BMP and WebP, as radiographs, masks, labels, heatmaps."""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from benchmarks.hostile_damage import Edit, Rng, Tree, choice, zlib_bomb

SIDES = (0, 1, 2, 15, 65_500, 65_535, 100_000, 2**31 - 1, 2**31, 2**32 - 1)
"""Rows or columns that a header may claim."""


@functools.cache
def film() -> NDArray[np.float32]:
    """A phantom of 96 x 80 pixels in [0, 1], whose sides differ."""
    from artasyn.phantom.film import Phantom

    return np.ascontiguousarray(Phantom(size=96)(1).image[:, 8:88])


def grey(bits: int = 8) -> NDArray[Any]:
    """The phantom in whole numbers."""
    return np.asarray(np.rint(film() * (2**bits - 1)), np.uint8 if bits == 8 else np.uint16)


def encoded(pixels: NDArray[Any] | PIL.Image.Image, form: str, **options: Any) -> bytes:
    """A picture file."""
    buffer = BytesIO()
    picture = pixels if isinstance(pixels, PIL.Image.Image) else PIL.Image.fromarray(pixels)
    picture.save(buffer, format=form, **options)
    return buffer.getvalue()


def radiographs() -> dict[str, Tree]:
    """One intact radiograph of every kind of picture."""
    eight, deep = grey(), grey(16)
    turned = PIL.Image.Exif()
    turned[0x112] = 6
    rgb, alpha = np.dstack([eight] * 3), np.dstack([eight, np.full_like(eight, 255)])
    palette = PIL.Image.fromarray(eight).convert("P")
    palette.putpalette([level for level in range(256) for _ in range(3)])
    files = {
        "a.png": encoded(eight, "PNG"),
        "deep.png": encoded(deep, "PNG"),
        "palette.png": encoded(palette, "PNG"),
        "alpha.png": encoded(PIL.Image.fromarray(alpha, "LA"), "PNG"),
        "rgb.png": encoded(rgb, "PNG", exif=turned),
        "a.jpg": encoded(eight, "JPEG", quality=90),
        "rgb.jpg": encoded(rgb, "JPEG", exif=turned),
        "progressive.jpg": encoded(eight, "JPEG", progressive=True),
        "a.tif": encoded(eight, "TIFF"),
        "deep.tif": encoded(deep, "TIFF"),
        "lzw.tif": encoded(deep, "TIFF", compression="tiff_lzw"),
        "deflate.tif": encoded(eight, "TIFF", compression="tiff_adobe_deflate"),
        "packbits.tif": encoded(eight, "TIFF", compression="packbits"),
        "jpeg.tif": encoded(eight, "TIFF", compression="jpeg"),
        "a.bmp": encoded(eight, "BMP"),
        "rgb.bmp": encoded(rgb, "BMP"),
        "lossless.webp": encoded(rgb, "WEBP", lossless=True),
        "a.webp": encoded(rgb, "WEBP", quality=80),
    }
    return _trees(files)


def masks() -> dict[str, Tree]:
    """Intact masks."""
    region = film() > 0.6
    files = {
        "a.png": encoded(region.astype(np.uint8) * 255, "PNG"),
        "ones.png": encoded(region.astype(np.uint8), "PNG"),
        "bits.png": encoded(PIL.Image.fromarray(region), "PNG"),
        "bits.tif": encoded(PIL.Image.fromarray(region), "TIFF", compression="group4"),
        "a.bmp": encoded(region.astype(np.uint8) * 255, "BMP"),
    }
    return _trees(files)


def labels() -> dict[str, Tree]:
    """Intact lung labels."""
    values = ((film() < 0.4) * (1 + (np.arange(80) > 40))).astype(np.uint8)
    palette = PIL.Image.fromarray(values).convert("P")
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    files = {"a.png": encoded(values, "PNG"), "palette.png": encoded(palette, "PNG"), "a.tif": encoded(values, "TIFF")}
    return _trees(files)


def heatmaps() -> dict[str, Tree]:
    """Intact heatmaps."""
    return _trees({"a.png": encoded(grey(), "PNG"), "deep.png": encoded(grey(16), "PNG")})


def _trees(files: Mapping[str, bytes]) -> dict[str, Tree]:
    return {name: Tree({name: data}, name, {name: 0} if name.endswith(".png") else {}) for name, data in files.items()}


def only(suffixes: tuple[str, ...]) -> Callable[[Edit], Edit]:
    """Restricts an edit to files by their suffix; other trees stay as they are."""

    def restricted(edit: Edit) -> Edit:
        def edited(rng: Rng, tree: Tree) -> Tree:
            return edit(rng, tree) if tree.target.endswith(suffixes) else tree

        return edited

    return restricted


# PNG ----------------------------------------------------------------------------------------------------


def chunks_of(data: bytes) -> list[tuple[bytes, bytes]]:
    """Kinds and contents of the chunks of a PNG."""
    found, at = [], 8
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG of chunks, with their checksums."""
    parts = [struct.pack(">I", len(data)) + kind + data + _crc(kind + data) for kind, data in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _crc(data: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(data))


def _header(width: int, height: int, depth: int, colour: int, interlaced: int = 0) -> bytes:
    return struct.pack(">IIBBBBB", width % 2**32, height % 2**32, depth, colour, 0, 0, interlaced)


@only((".png",))
def png_header(rng: Rng, tree: Tree) -> Tree:
    """Claims another size, depth or colour, with the right checksum."""
    chunks = chunks_of(tree.bytes_of(tree.target))
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    kind = choice(rng, ("size", "one side", "depth", "colour", "interlaced"))
    if kind == "size":
        width, height = (choice(rng, SIDES) for _ in range(2))
    elif kind == "one side":
        width, height = choice(rng, ((width, choice(rng, SIDES)), (choice(rng, SIDES), height), (width, height + 1)))
    elif kind == "depth":
        depth = choice(rng, (0, 1, 2, 4, 8, 16, 32, 255))
    elif kind == "colour":
        colour = choice(rng, (0, 1, 2, 3, 4, 6, 7, 255))
    else:
        interlaced = 1 - interlaced
    chunks[0] = (b"IHDR", _header(width, height, depth, colour, interlaced))
    return tree.having(tree.target, png(chunks), f"PNG header: {kind}")


@only((".png",))
def png_chunks(rng: Rng, tree: Tree) -> Tree:
    """Loses, repeats, moves, shortens or adds chunks, with the right checksums."""
    chunks = chunks_of(tree.bytes_of(tree.target))
    kind, at = choice(rng, ("lost", "repeated", "moved", "short", "added")), int(rng.integers(len(chunks)))
    if kind == "lost":
        del chunks[at]
    elif kind == "repeated":
        chunks[at:at] = [chunks[at]] * choice(rng, (1, 1000))
    elif kind == "moved":
        chunks.insert(int(rng.integers(len(chunks))), chunks.pop(at))
    elif kind == "short":
        chunks[at] = (chunks[at][0], chunks[at][1][: int(rng.integers(1 + len(chunks[at][1])))])
    else:
        added = {
            b"acTL": struct.pack(">II", choice(rng, (2, 10**9)), 0),
            b"tRNS": rng.bytes(int(rng.integers(8))),
            b"PLTE": rng.bytes(int(rng.integers(800))),
            b"gAMA": rng.bytes(4),
            b"sBIT": rng.bytes(1),
            b"eXIf": rng.bytes(60),
            b"iCCP": b"x\0\0" + rng.bytes(40),
            b"tEXt": b"x\0" + b"y" * 2_000_000,
            b"zTXt": b"x\0\0" + zlib_bomb(1),
            b"iTXt": b"x\0\1\0\0\0" + zlib_bomb(1),
            b"ABCD": rng.bytes(20),
            b"CgBI": rng.bytes(4),
        }
        name = choice(rng, list(added))
        chunks.insert(int(rng.integers(1, 3)), (name, added[name]))
        kind = f"{name.decode()} added"
    pixels = b"".join(data for name, data in chunks if name == b"IDAT")
    known = b"".join(data for name, data in chunks_of(tree.bytes_of(tree.target)) if name == b"IDAT")
    missing = kind in ("lost", "short") and len(pixels) < len(known) - 4  # without its last four bytes, the checksum
    return tree.having(tree.target, png(chunks), f"PNG chunk {kind}", refuse=missing)


@only((".png",))
def png_bomb(rng: Rng, tree: Tree) -> Tree:
    """Holds a picture of gigabytes in a few megabytes, or more than the header says."""
    side, depth, colour = choice(rng, ((9_000, 8, 0), (12_000, 8, 2), (30_000, 8, 0), (60_000, 1, 0), (64, 8, 0)))
    chunks = [(b"IHDR", _header(side, side, depth, colour)), (b"IDAT", zlib_bomb(choice(rng, (1, 4)))), (b"IEND", b"")]
    return tree.having(tree.target, png(chunks), f"PNG bomb of {side} x {side}")


# JPEG, TIFF, BMP, WebP ----------------------------------------------------------------------------------


def jpeg_claims(data: bytes, rows: int, columns: int) -> bytes:
    """A JPEG whose frame header claims another size."""
    for marker in (b"\xff\xc0", b"\xff\xc1", b"\xff\xc2", b"\xff\xc3", b"\xff\xf7"):
        at = data.find(marker)
        if at > 0:
            return data[: at + 5] + struct.pack(">HH", rows % 65536, columns % 65536) + data[at + 9 :]
    return data


@only((".jpg",))
def jpeg_edit(rng: Rng, tree: Tree) -> Tree:
    """Claims another size, repeats scans, loses tables or ends in the middle with an end marker."""
    data = tree.bytes_of(tree.target)
    scan = data.rfind(b"\xff\xda")
    kind = choice(rng, ("size", "scans", "no tables", "end in the middle", "orientation", "no scan"))
    if kind == "size":
        rows, columns = choice(rng, ((65_000, 65_000), (12_000, 12_000), (0, 80), (96, 0), (96, 81), (30_000, 64)))
        data = jpeg_claims(data, rows, columns)
    elif kind == "scans":
        large = jpeg_claims(data, *choice(rng, ((4_000, 4_000), (96, 80))))
        data = large[:-2] + large[scan:-2] * choice(rng, (10, 2000)) + b"\xff\xd9"
    elif kind == "no tables":
        data = data.replace(choice(rng, (b"\xff\xdb", b"\xff\xc4")), b"\xff\xfe")
    elif kind == "end in the middle":
        data = data[: int(rng.integers(scan, len(data)))] + b"\xff\xd9"
    elif kind == "orientation":
        data = data.replace(b"\x01\x12", struct.pack(">H", int(rng.integers(65536))), 1)
    else:
        data = data[:scan] + b"\xff\xd9"
    return tree.having(tree.target, data, f"JPEG: {kind}", cut=kind == "end in the middle")


@only((".tif",))
def tiff_edit(rng: Rng, tree: Tree) -> Tree:
    """Changes entries of a TIFF's directory, or lets directories form a loop."""
    data = bytearray(tree.bytes_of(tree.target))
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack(order + "I", data[4:8])
    (count,) = struct.unpack(order + "H", data[start : start + 2])
    kind = choice(rng, ("value", "value", "value", "kind", "count", "tag", "loop", "bomb", "strips"))
    entry = start + 2 + 12 * int(rng.integers(count))
    value = choice(rng, (0, 1, 2, 7, 16, 32, 64, 65_535, 100_000, 2**31 - 1, 2**32 - 1))
    if kind == "value":
        data[entry + 8 : entry + 12] = struct.pack(order + "I", value)
    elif kind == "kind":
        data[entry + 2 : entry + 4] = struct.pack(order + "H", int(rng.integers(20)))
    elif kind == "count":
        data[entry + 4 : entry + 8] = struct.pack(order + "I", value)
    elif kind == "tag":
        data[entry : entry + 2] = struct.pack(order + "H", int(choice(rng, (254, 258, 259, 262, 266, 274, 284, 339))))
    elif kind == "loop":
        data = data[: start + 2 + 12 * count] + struct.pack(order + "I", start) + data[start + 6 + 12 * count :]
    elif kind == "bomb":
        data = bytearray(_tiff_bomb(*choice(rng, ((9_000, 9_000), (40_000, 40_000), (64, 64)))))
    else:
        data = bytearray(_tiff_bomb(60_000, 60_000, bomb=b""))
    return tree.having(tree.target, bytes(data), f"TIFF: {kind}")


def _tiff_bomb(rows: int, columns: int, bomb: bytes | None = None) -> bytes:
    """A TIFF of one strip that unpacks to gigabytes."""
    body = zlib_bomb(4) if bomb is None else bomb
    values = {256: columns, 257: rows, 258: 8, 259: 8, 262: 1, 273: 134, 277: 1, 278: rows, 279: len(body)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values.items())
    head = struct.pack("<2sHIH", b"II", 42, 8, len(values)) + entries + struct.pack("<I", 0)
    return head.ljust(134, b"\0") + body


@only((".bmp",))
def bmp_edit(rng: Rng, tree: Tree) -> Tree:
    """Changes a field of a BMP's header."""
    fields = {
        "size": 2,
        "offset": 10,
        "header": 14,
        "width": 18,
        "height": 22,
        "bits": 28,
        "packing": 30,
        "colours": 46,
    }
    name = choice(rng, list(fields))
    value = choice(rng, (0, 1, 2, 3, 7, 15, 16, 33, 100_000, 2**31 - 1, -1, -96, -(2**31)))
    data = bytearray(tree.bytes_of(tree.target))
    size = 2 if name == "bits" else 4
    data[fields[name] : fields[name] + size] = struct.pack("<i", value)[:size]
    return tree.having(tree.target, bytes(data), f"BMP header: {name}")


@only((".webp",))
def webp_edit(rng: Rng, tree: Tree) -> Tree:
    """Claims another size in a WebP's header."""
    data = bytearray(tree.bytes_of(tree.target))
    width, height = (choice(rng, (0, 1, 79, 97, 16_383)) for _ in range(2))
    if data[12:16] == b"VP8L":
        data[21:25] = struct.pack("<I", (max(0, width - 1) & 0x3FFF) | (max(0, height - 1) & 0x3FFF) << 14)
    else:
        data[26:30] = struct.pack("<HH", width, height)
    return tree.having(tree.target, bytes(data), "WebP header: size")


EDITS: tuple[Edit, ...] = (
    png_header, png_chunks, png_chunks, png_bomb, jpeg_edit, tiff_edit, bmp_edit, webp_edit,
)  # fmt: skip
