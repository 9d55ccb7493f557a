"""The bytes of voxels: inflated in pieces, and compared with the length and the checksum that their file states.

Nothing is inflated beyond the voxels that a header claims, so a file that claims little costs little.
"""

from __future__ import annotations

import bz2
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from artasyn.errors import DataError
from artasyn.pixels.codestreams import read_codestream

Encoding = Literal["raw", "text", "deflate", "bzip2"]
_Number = TypeVar("_Number", int, float)

PIECE = 1 << 20
"""Bytes that are read or inflated at once."""
SKIPPED = 1 << 26
"""Largest number of bytes that a header may skip before the voxels."""
HEADER = 1 << 22
"""Largest number of bytes of a header in text."""
LONGEST = 40
"""Largest number of characters of a number."""
RATIO = 1033
"""Largest ratio of deflate. Source: zlib's documentation, "Maximum Compression Factor"."""

MACHINES: Mapping[str, Callable[[], Any]] = {
    "deflate": lambda: zlib.decompressobj(wbits=47),  # zlib or gzip, told from the first bytes
    "bzip2": bz2.BZ2Decompressor,
}
"""Machines that inflate. Each compares the checksum at the end of its stream and raises an error if it differs."""


@dataclass(frozen=True)
class Part:
    """The part of a file that holds voxels.

    Attributes:
        path: the file.
        count: the bytes of the voxels.
        start: the first byte to read.
        encoding: how the bytes are stored: as they are, as numbers in text, as a zlib or gzip stream, or as bzip2.
        skip: bytes to leave out before the voxels, after inflating.
    """

    path: Path
    count: int
    start: int = 0
    encoding: Encoding = "raw"
    skip: int = 0


def read_chunks(parts: Iterable[Part], dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    """Yields the values of parts of files, in order, in one-dimensional arrays.

    The last array of a part comes after the whole part was compared with its file.

    Args:
        parts: of one or several files.
        dtype: of a value.

    Raises:
        DataError: a file is no regular file or is damaged; or it holds fewer or more bytes than the part says. The
            message continues a sentence that begins with the file's name.
        zlib.error, OSError: the compressed bytes are damaged.
    """
    for part in parts:
        rest = b""
        for piece in _as_text(part, dtype) if part.encoding == "text" else _exactly(part):
            data = rest + piece
            whole = len(data) - len(data) % dtype.itemsize
            rest = data[whole:]
            if whole:
                yield np.frombuffer(data[:whole], dtype)
        if rest:
            raise DataError(f"divides a voxel among files, {part.path.name} and the next; export it again")


def open_file(path: Path) -> BinaryIO:
    """Opens a regular file; a device or a pipe, which may never end, is refused.

    Raises:
        DataError: the file is missing or no regular file.
    """
    if not path.is_file():
        found = "is no regular file" if path.exists() else "does not exist"
        raise DataError(f"needs the file {path}, which {found}; copy all files of the volume")
    return path.open("rb")


def leading(file: BinaryIO, encoding: Encoding, count: int, *, least: int) -> bytes:
    """Returns the first bytes of a file: as many as `count`, or fewer if there are fewer.

    Raises:
        DataError: there are fewer than `least`.
    """
    file.seek(0)
    data = bytearray()
    for piece in _inflated(file, MACHINES[encoding]) if encoding in MACHINES else _raw(file):
        data += piece
        if len(data) >= count:
            break
    if len(data) < least:
        raise DataError(f"is damaged or cut short: its header ends after {len(data)} bytes; copy or export it again")
    return bytes(data[:count])


def beginning(path: Path) -> bytes:
    """Returns the bytes of a file that may be its header."""
    with open_file(path) as file:
        return file.read(HEADER)


def next_line(head: bytes, start: int) -> tuple[str, int]:
    """Returns the line that begins at a byte, without its end, and the first byte after it."""
    stop = head.find(b"\n", start)
    stop = len(head) if stop < 0 else stop
    return head[start:stop].decode("utf-8", "surrogateescape").rstrip("\r"), min(stop + 1, len(head))


def lines_after(head: bytes, start: int) -> list[str]:
    """Returns the lines from a byte on that are not empty; they name files."""
    lines = head[start:].decode("utf-8", "surrogateescape").splitlines()
    return [line.strip() for line in lines if line.strip()]


def numbers(text: str, kind: type[_Number], name: str) -> list[_Number]:
    """Returns the numbers of a header's field, which stand between blanks.

    Args:
        text: of the field.
        kind: int or float.
        name: of the field, for the message.

    Raises:
        DataError: one is no number of this kind.
    """
    words = text.split()
    try:
        if max(map(len, words), default=0) <= LONGEST:
            return [kind(word) for word in words]
    except ValueError:
        pass
    raise DataError(f"has {text[:80]!r} as its {name}; it is damaged, copy or export it again")


def to_skip(fields: Mapping[str, str], name: str, default: int = 0) -> int:
    """Returns how many lines or bytes to skip; -1 stands for all before the voxels."""
    [count, *more] = numbers(fields.get(name, str(default)), int, name) or [-2]
    if more or not -1 <= count <= SKIPPED:
        raise DataError(f"has {fields[name][:80]!r} as its {name}; from 0 to {SKIPPED} can be skipped")
    return count


def after_lines(path: Path, start: int, count: int) -> int:
    """Returns the first byte after so many lines."""
    with open_file(path) as file:
        file.seek(start)
        for _ in range(min(count, HEADER)):
            if not file.readline(HEADER):
                break
        return file.tell()


def numbered_files(pattern: str, first: int, last: int, step: int, count: int) -> list[str]:
    """Returns the names of files that a pattern of C stands for.

    Args:
        pattern: a name with one ``%d`` or ``%03d``.
        first: the number of the first file.
        last: the largest number.
        step: from number to number.
        count: how many files there must be.

    Raises:
        DataError: the pattern holds another directive or none, or there are more or fewer files.

    Example:
        >>> numbered_files("slice%03d.raw", 8, 12, 2, 3)
        ['slice008.raw', 'slice010.raw', 'slice012.raw']
    """
    found = re.fullmatch(r"([^%]*)%(0?)([0-9]{0,2})[diu]([^%]*)", pattern)
    if not found:
        raise DataError(f"names its files {pattern[:80]!r}; one number such as %d or %03d is needed in it")
    named = range(first, last + 1, step) if step > 0 else range(0)
    if len(named) != count:
        raise DataError(f"names {len(named)} files by {pattern[:80]!r}, but needs {count}; export it again")
    width = int(found[3] or 0)
    return [found[1] + (f"{n:0{width}d}" if found[2] else f"{n:{width}d}") + found[4] for n in named]


def parts_of(
    folder: Path, names: Sequence[str], count: int, encoding: Encoding, *, start: int = 0, skip: int = 0
) -> list[Part]:
    """Returns the parts of voxels that are divided among files alike.

    Args:
        folder: that the names start from.
        names: of the files.
        count: the bytes of all voxels.
        encoding: of each file.
        start: the first byte to read in each file.
        skip: bytes to leave out before the voxels, after inflating; -1 for all bytes before the last ones.

    Raises:
        DataError: the voxels cannot be divided among the files, or a file has fewer bytes.
    """
    if not names or count % len(names):
        raise DataError(f"names {len(names)} files, among which its voxels cannot be divided; export it again")
    if any("\0" in name for name in names):
        raise DataError("names a file with a zero byte; it is damaged, copy or export it again")
    parts = [Part(folder / name, count // len(names), start, encoding, max(0, skip)) for name in names]
    return [_ending(part) for part in parts] if skip < 0 else parts


def check_packed(part: Part, stated: float) -> None:
    """Compares the compressed bytes of a part with the count that a header states.

    Raises:
        DataError: the counts differ.
    """
    with open_file(part.path) as file:
        there = max(0, file.seek(0, 2) - part.start)
    if there != stated:
        raise DataError(
            f"is damaged or cut short: {part.path.name} holds {there} bytes of compressed voxels, but the header says "
            f"{stated:.0f}; copy or export it again"
        )


def _ending(part: Part) -> Part:
    """Returns the part whose voxels are the last bytes of their file."""
    with open_file(part.path) as file:
        start = file.seek(0, 2) - part.count
    if start < part.start:
        raise _damaged(part, f"{start + part.count - part.start}")
    return replace(part, start=start)


def check_coded(name: str, frames: Iterable[bytes], size: tuple[int, int]) -> None:
    """Refuses compressed frames that claim another size than their header.

    Args:
        name: of the file.
        frames: of JPEG, JPEG-LS or JPEG 2000.
        size: rows and columns in the header.

    Raises:
        DataError: a frame claims another size.
        RadiographError: a frame has no readable header.
    """
    streams = map(read_codestream, frames)
    sizes = sorted({(stream.rows, stream.columns) for stream in streams} - {size})
    if sizes:
        found = ", ".join(f"{rows} x {columns}" for rows, columns in sizes[:3])
        raise DataError(
            f"holds {name}, whose compressed pixels are {found}, not {size[0]} x {size[1]} as its header says; export "
            "it again"
        )


def inflated_size(file: BinaryIO, most: int) -> int:
    """Returns the size of the rest of a file, a deflate stream without header, or more than `most` without going on."""
    machine, count, data = zlib.decompressobj(-zlib.MAX_WBITS), 0, file.read()
    while data and count <= most:
        count += len(machine.decompress(data, PIECE))
        data = machine.unconsumed_tail
    return count


def _exactly(part: Part) -> Iterator[bytes]:
    """Yields exactly the bytes of a part. The last piece comes after the file was compared with the part."""
    with open_file(part.path) as file:
        stored = file.seek(0, 2)
        there = max(0, stored - part.start)
        if part.encoding == "raw":
            if there != part.skip + part.count:
                raise _damaged(part, f"{max(0, there - part.skip)}")
            file.seek(part.start + part.skip)
            yield from _raw(file)
            return
        if part.encoding == "deflate" and part.skip + part.count > there * RATIO:
            raise _damaged(part, f"at most {there * RATIO}")
        file.seek(part.start)
        skip, count, last = part.skip, 0, b""
        for piece in _inflated(file, MACHINES[part.encoding]):
            kept = piece[skip:]
            skip -= len(piece) - len(kept)
            count += len(kept)
            if count > part.count:
                raise _damaged(part, f"at least {count}")
            yield last
            last = kept
        if count < part.count:
            raise _damaged(part, f"{count}")
        yield last


def _damaged(part: Part, found: str) -> DataError:
    return DataError(
        f"is damaged or cut short: {part.path.name} holds {found} bytes of voxels, but the header says {part.count}; "
        "copy or export it again"
    )


def _raw(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(PIECE):
        yield piece


def _inflated(file: BinaryIO, make: Callable[[], Any]) -> Iterator[bytes]:
    """Yields inflated bytes in pieces of bounded size; another stream or zeros may follow the end of one."""
    machine, data = make(), b""
    while True:
        piece = machine.decompress(data, PIECE)
        data = getattr(machine, "unconsumed_tail", b"")  # the machine of bzip2 keeps it
        if piece:
            yield piece
        if machine.eof:
            data = machine.unused_data or file.read(PIECE)
            while data and not data.strip(b"\0"):
                data = file.read(PIECE)
            if not data:
                return
            machine = make()
        elif not piece and not data:
            data = file.read(PIECE)
            if not data:
                raise DataError("is damaged or cut short: its compressed bytes have no end; copy or export it again")


def _as_text(part: Part, dtype: np.dtype[Any]) -> Iterator[bytes]:
    """Yields the bytes of voxels that a file holds as numbers in text."""
    count, rest = 0, b""
    with open_file(part.path) as file:
        file.seek(part.start + part.skip)
        while True:
            piece = file.read(PIECE)
            words = (rest + piece).split()
            rest = words.pop() if words and piece and not piece[-1:].isspace() else b""
            if len(rest) > PIECE:
                raise _damaged(part, "other things than numbers, not")
            values = np.array(words, "S").astype(np.float64)
            count += values.size * dtype.itemsize
            if count > part.count:
                raise _damaged(part, f"at least {count}")
            exact = values.astype(dtype)
            if not (exact == values).all() and dtype.kind != "f":
                raise DataError(f"has numbers that are no {dtype.name}; it is damaged, copy or export it again")
            yield exact.tobytes()
            if not piece:
                break
    if count < part.count:
        raise _damaged(part, f"{count}")
