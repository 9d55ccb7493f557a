"""Checks of whole picture files before they are decoded: claims of size, and parts that lie beyond the file's end."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from artasyn.errors import RadiographError
from artasyn.limits import limits, too_large
from artasyn.pixels.codestreams import check_jpeg

CUT = "is cut short; copy or export it again"
UNCOMPRESSED, JPEG, DEFLATE = 1, 7, (8, 32946)
"""Compressions of a TIFF."""
STRIPS, TILES = (273, 279), (324, 325)
"""Tags of a TIFF: where its strips or tiles begin, and their numbers of bytes."""


def check_pixels(rows: int, columns: int) -> None:
    """Refuses a claim of no pixels, or of more pixels than `artasyn.limits.Limits` allows.

    Args:
        rows: that the header states.
        columns: that the header states.

    Raises:
        RadiographError: the message continues a sentence that begins with the file's name.
    """
    if rows < 1 or columns < 1:
        raise RadiographError(f"states {rows} x {columns} pixels; export it again")
    if rows * columns > limits().pixels:
        raise RadiographError(too_large(f"pixels ({rows} x {columns})", rows * columns, "pixels"))


def webp_size(data: bytes) -> tuple[int, int]:
    """Returns the rows and columns that a WebP states; its decoder reserves memory for them when it opens the file.

    Args:
        data: the whole file.

    Raises:
        RadiographError: the file is cut short or states no size.

    Source: WebP container specification; RFC 6386, 9.1; WebP lossless bitstream specification, 3.
    """
    if len(data) < 30 or int.from_bytes(data[4:8], "little") + 8 > len(data):
        raise RadiographError(CUT)
    if data[12:16] == b"VP8X":
        return 1 + int.from_bytes(data[27:30], "little"), 1 + int.from_bytes(data[24:27], "little")
    if data[12:16] == b"VP8L":
        packed = int.from_bytes(data[21:25], "little")
        return 1 + (packed >> 14 & 16383), 1 + (packed & 16383)
    columns, rows = struct.unpack("<HH", data[26:30])
    return rows & 16383, columns & 16383


def check_tiff(tags: Mapping[int, Any], data: bytes) -> None:
    """Refuses a TIFF whose strips or tiles are too few, too large, too short or beyond the end of the file.

    The checksum of parts that are deflated is verified, and the structure of parts that are JPEG.

    Args:
        tags: of the picture, by number.
        data: the whole file.

    Raises:
        RadiographError: the message continues a sentence that begins with the file's name.

    Source: TIFF 6.0, sections 3 and 15; TIFF technical notes 2 (JPEG) and 3 (deflate).
    """
    grid = _Grid.of(tags)
    starts, sizes = (_numbers(tags.get(tag)) for tag in (TILES if grid.tiled else STRIPS))
    compression = int(tags.get(259, 1))
    least = [grid.bytes_of(part) for part in range(grid.parts)]
    if compression == UNCOMPRESSED and not sizes:
        sizes = least
    if len(starts) < grid.parts or len(sizes) < grid.parts:
        found = min(len(starts), len(sizes))
        raise RadiographError(f"lists {found} of {grid.parts} strips or tiles, it is damaged; export it again")
    for start, size, full in zip(starts, sizes, least, strict=False):
        if start + size > len(data):
            raise RadiographError(CUT)
        if compression == UNCOMPRESSED and size < full:
            raise RadiographError(f"holds {size} bytes of a strip or tile of {full}, it is damaged; export it again")
        if compression in DEFLATE:
            _check_deflated(data[start : start + size], full)
        if compression == JPEG:
            check_jpeg(data[start : start + size])


@dataclass(frozen=True)
class _Grid:
    """The strips or tiles that a TIFF consists of: each is wide x tall; strips are as wide as the picture."""

    rows: int
    columns: int
    wide: int
    tall: int
    tiled: bool
    planes: int
    bits: int

    @classmethod
    def of(cls, tags: Mapping[int, Any]) -> _Grid:
        columns, rows, samples = int(tags[256]), int(tags[257]), int(tags.get(277, 1))
        tiled = 324 in tags
        wide, tall = (int(tags.get(tag, 0)) for tag in (322, 323)) if tiled else (columns, int(tags.get(278, rows)))
        tall = tall if tiled else min(tall, rows)
        if wide < 1 or tall < 1 or wide * tall > max(2 * rows * columns, 2**22):
            raise RadiographError(f"states strips or tiles of {tall} x {wide} pixels for {rows} x {columns}; export it again")
        planes = samples if tags.get(284, 1) == 2 else 1
        bits = sum((_numbers(tags.get(258)) or [1])[: samples // planes])
        return cls(rows, columns, wide, tall, tiled, planes, bits)

    @property
    def parts(self) -> int:
        return self.planes * -(-self.rows // self.tall) * -(-self.columns // self.wide)

    def bytes_of(self, part: int) -> int:
        """Returns how many bytes a strip or tile holds without compression."""
        last = self.rows % self.tall
        down = part % (self.parts // self.planes)
        cut = last and not self.tiled and down == -(-self.rows // self.tall) - 1
        return -(-self.wide * self.bits // 8) * (last if cut else self.tall)


def _check_deflated(part: bytes, full: int) -> None:
    """Refuses deflated bytes whose checksum is wrong or that hold less than a strip or tile."""
    stream = zlib.decompressobj()
    try:
        found = len(stream.decompress(part, full + 1))
    except zlib.error as error:
        raise RadiographError(f"is damaged or cut short ({error}); export it again") from error
    if found < full:
        raise RadiographError(CUT)


def _numbers(value: Any) -> list[int]:
    """Returns one, several or no numbers of a tag."""
    if value is None:
        return []
    return [int(each) for each in value] if isinstance(value, (tuple, list)) else [int(value)]
