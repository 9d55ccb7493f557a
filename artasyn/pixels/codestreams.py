"""What the headers of JPEG, JPEG-LS and JPEG 2000 say, and whether a JPEG holds every row; nothing is decoded."""

from __future__ import annotations

import re
from dataclasses import dataclass

from artasyn.errors import RadiographError

FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
"""Markers of a frame header of JPEG and JPEG-LS; the three left out are tables."""
PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
ALONE = frozenset({0x01, *range(0xD0, 0xDA)})
"""Markers without a length."""
JPEG_LS = 0xF7
LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF, JPEG_LS})
"""Markers of frames that are not coded in blocks of 8 x 8."""
NEXT = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]", re.DOTALL)
NEXT_LS = re.compile(rb"\xff+[\x80-\xcf\xd8-\xfe]", re.DOTALL)
"""Markers that end the coded data of a scan."""
NO_CODE = b"\xff\x00" * 8
"""Ones, which are no code of any table: they stand for the bytes after the last code, at which decoders look ahead."""


@dataclass(frozen=True)
class Codestream:
    """The header of a codestream.

    Attributes:
        rows: of the picture.
        columns: of the picture.
        samples: in each pixel.
        bits: of each sample.
    """

    rows: int
    columns: int
    samples: int
    bits: int


@dataclass(frozen=True)
class Jpeg:
    """The structure of a JPEG or JPEG-LS.

    Attributes:
        header: of its frame.
        kind: the second byte of the marker of its frame.
        blocks: number of the smallest coded units of a scan of all components; 0 where it is not known.
        interval: units between two restart markers; 0 without them.
        scans: of each scan, the components, the coefficients, the bits left out, and where its coded data lie.
        end: where the end marker stands; None without one.
    """

    header: Codestream
    kind: int
    blocks: int
    interval: int
    scans: tuple[Scan, ...]
    end: int | None


@dataclass(frozen=True)
class Scan:
    """One scan of a JPEG.

    Attributes:
        components: the identifiers of its components.
        first: its first coefficient.
        last: its last coefficient.
        low: the bits of the coefficients that later scans refine.
        start: of its coded data.
        end: of its coded data.
    """

    components: bytes
    first: int
    last: int
    low: int
    start: int
    end: int


def read_codestream(data: bytes) -> Codestream:
    """Reads the header of a JPEG, JPEG-LS or JPEG 2000.

    Args:
        data: the codestream from its first byte, or a JP2 file.

    Raises:
        RadiographError: the data begin with no such header. The message continues a sentence that begins with the
            file's name.

    Source: ITU-T T.81, B.2.2 (frame header); ISO/IEC 15444-1, A.5.1 (SIZ).
    """
    siz = data.find(b"\xff\x4f\xff\x51", 0, 4096)
    if siz >= 0 and (siz == 0 or data[4:8] == b"jP  ") and len(data) >= siz + 43:
        columns, rows, left, top = (int.from_bytes(data[siz + at : siz + at + 4], "big") for at in (8, 12, 16, 20))
        samples = int.from_bytes(data[siz + 40 : siz + 42], "big")
        return Codestream(rows - top, columns - left, samples, (data[siz + 42] & 127) + 1)
    return read_jpeg(data).header


def read_jpeg(data: bytes) -> Jpeg:
    """Reads the structure of a JPEG or JPEG-LS.

    Args:
        data: the codestream from its first byte.

    Raises:
        RadiographError: its markers are damaged or no frame is described.

    Source: ITU-T T.81, annex B.
    """
    header, kind, blocks, interval = None, 0, 0, 0
    scans: list[Scan] = []
    at, end = 2, None
    while data[:2] == b"\xff\xd8":
        while data[at : at + 2] == b"\xff\xff":  # fill bytes
            at += 1
        if len(data) < at + 2 or data[at] != 255:
            break
        marker, at = data[at + 1], at + 2
        if marker == 0xD9:
            end = at - 2
            break
        if marker in ALONE:
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        segment, at = data[at + 2 : at + length], at + length
        if length < 2 or len(segment) < length - 2:
            break
        if marker in FRAMES and header is None and length >= 11:
            rows, columns = int.from_bytes(segment[1:3], "big"), int.from_bytes(segment[3:5], "big")
            header, kind = Codestream(rows, columns, segment[5], segment[0]), marker
            blocks = 0 if marker in LOSSLESS else _blocks(header, segment[6:])
        elif marker == 0xDD and length >= 4:
            interval = int.from_bytes(segment[:2], "big")
        elif marker == 0xDA and length >= 6 + 2 * segment[0]:
            count = segment[0]
            first, last, bits = segment[1 + 2 * count : 4 + 2 * count]
            following = (NEXT_LS if kind == JPEG_LS else NEXT).search(data, at)
            stop = following.start() if following else len(data)
            scans.append(Scan(segment[1 : 1 + 2 * count : 2], first, last, bits & 15, at, stop))
            at = stop
    if header is None:
        raise RadiographError("is a JPEG without a readable header; export it again")
    return Jpeg(header, kind, blocks, interval, tuple(scans), end)


def _blocks(header: Codestream, components: bytes) -> int:
    """Returns the number of smallest coded units of an interleaved frame; 0 where the factors are damaged."""
    factors = components[1::3]
    tall, wide = max((each & 15 for each in factors), default=0), max((each >> 4 for each in factors), default=0)
    if header.samples == 1:
        tall = wide = 1
    return -(-header.rows // (8 * tall)) * -(-header.columns // (8 * wide)) if tall and wide else 0


def check_jpeg(data: bytes) -> bytes:
    """Refuses a JPEG that lacks its end, a scan, a restart interval or the last bits of its coefficients.

    Args:
        data: the codestream from its first byte.

    Returns:
        The data to decode. In place of the end marker of a single scan stand bytes that are no code, so that a decoder
        that has too few data asks for more and fails, instead of filling the rest with grey.

    Raises:
        RadiographError: something is missing. The message continues a sentence that begins with the file's name.
    """
    jpeg = read_jpeg(data)
    if jpeg.end is None or not jpeg.scans:
        raise RadiographError("has no end marker, it is cut short; copy or export it again")
    if jpeg.interval and jpeg.blocks and len(jpeg.scans) == 1:
        scan = jpeg.scans[0]
        found = [each[1] & 7 for each in re.findall(rb"\xff[\xd0-\xd7]", data[scan.start : scan.end])]
        if found != [number % 8 for number in range(-(-jpeg.blocks // jpeg.interval) - 1)]:
            raise RadiographError("lacks some of its restart markers, it is damaged or cut short; export it again")
    if jpeg.kind in PROGRESSIVE:
        left: dict[tuple[int, int], int] = {}
        for scan in jpeg.scans:
            left |= {(name, at): scan.low for name in scan.components for at in range(scan.first, scan.last + 1)}
        names = {name for name, _ in left}
        if len(names) < jpeg.header.samples or any(left.get((name, at), 1) for name in names for at in range(64)):
            raise RadiographError("lacks some of its scans, it is cut short; copy or export it again")
    elif len({name for scan in jpeg.scans for name in scan.components}) < jpeg.header.samples:
        raise RadiographError("lacks some of its scans, it is cut short; copy or export it again")
    elif len(jpeg.scans) == 1:
        return data[: jpeg.end] + NO_CODE
    return data
