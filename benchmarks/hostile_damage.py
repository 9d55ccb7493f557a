"""Seeded damage for `benchmarks.hostile`: to bytes, to texts and to JSON, and files that unpack to gigabytes."""

from __future__ import annotations

import bz2
import copy
import dataclasses
import functools
import gzip
import json
import os
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Rng = np.random.Generator
Special = Callable[[Path], None]
"""Makes something else than a regular file at a path."""


@dataclass(frozen=True)
class Tree:
    """Files that a reader gets, as bytes.

    Attributes:
        files: the content of every file, by its path below the folder of the case.
        target: the path that the reader is given; "." for the folder.
        summed: for files with a checksum, the first byte that the checksum covers.
        damage: a sentence fragment that names the damage; empty for an intact tree.
        refuse: whether it is wrong to accept other values than those of the intact tree.
        cut: whether nothing but the end of a file is missing.
        optional: whether a reader may refuse the intact tree, because it does not read this kind.
    """

    files: Mapping[str, bytes | Special]
    target: str
    summed: Mapping[str, int] = field(default_factory=dict)
    damage: str = ""
    refuse: bool = False
    cut: bool = False
    optional: bool = False

    def write(self, folder: Path) -> Path:
        """Writes the files and returns the path of the target."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                content(path)
        return folder / self.target

    def having(self, name: str, content: bytes | Special, damage: str, **about: Any) -> Tree:
        """Returns the tree with another content of a file."""
        return dataclasses.replace(self, files={**self.files, name: content}, damage=damage, **about)

    def bytes_of(self, name: str) -> bytes:
        """Returns the content of a regular file."""
        content = self.files[name]
        assert isinstance(content, bytes)
        return content


Edit = Callable[[Rng, Tree], Tree]
"""Damages a tree; the same generator gives the same damage."""


def choice(rng: Rng, items: Sequence[Any]) -> Any:
    """Chooses one item, which keeps its type."""
    return items[int(rng.integers(len(items)))]


# Bytes --------------------------------------------------------------------------------------------------


def _place(rng: Rng, size: int) -> int:
    """Chooses a byte; half of the choices lie in the first 512 bytes, where headers are."""
    return int(rng.integers(min(size, 512) if rng.random() < 0.5 else size)) if size else 0


def _flip(rng: Rng, data: bytes) -> tuple[bytes, int]:
    out, touched = bytearray(data), len(data)
    for _ in range(int(choice(rng, (1, 1, 2, 4, 16)))):
        at = _place(rng, len(out))
        if out:
            out[at] ^= 1 << int(rng.integers(8)) if rng.random() < 0.5 else int(rng.integers(1, 256))
        touched = min(touched, at)
    return bytes(out), touched


def _cut(rng: Rng, data: bytes) -> tuple[bytes, int]:
    at = len(data) - 1 - _place(rng, len(data)) if rng.random() < 0.5 else _place(rng, len(data))
    return data[: max(0, at)], max(0, at)


def _insert(rng: Rng, data: bytes) -> tuple[bytes, int]:
    at = _place(rng, len(data))
    return data[:at] + rng.bytes(int(rng.integers(1, 64))) + data[at:], at


def _fill(rng: Rng, data: bytes) -> tuple[bytes, int]:
    at, count = _place(rng, len(data)), int(rng.integers(1, 256))
    count = min(count, len(data) - at)
    return data[:at] + bytes([choice(rng, (0, 0, 255, 127))]) * count + data[at + count :], at


def _swap(rng: Rng, data: bytes) -> tuple[bytes, int]:
    count = int(rng.integers(1, max(2, len(data) // 4)))
    first, second = sorted(_place(rng, max(1, len(data) - count)) for _ in range(2))
    second = max(second, first + count)
    parts = (data[:first], data[second : second + count], data[first + count : second], data[first : first + count])
    return b"".join(parts) + data[second + count :], first


def _repeat(rng: Rng, data: bytes) -> tuple[bytes, int]:
    at, count = _place(rng, len(data)), int(rng.integers(1, 256))
    return data[: at + count] + data[at:], min(len(data), at + count)


NUMBERS = tuple(
    value.to_bytes(size, order)
    for size in (2, 4, 8)
    for value in (0, 1, 2 ** (8 * size - 1) - 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1, 2 ** (4 * size))
    for order in ("little", "big")
)
"""Numbers that headers get wrong: 0, 1, and the ends of every range."""


def _number(rng: Rng, data: bytes) -> tuple[bytes, int]:
    at, number = _place(rng, len(data)), choice(rng, NUMBERS)
    return data[:at] + number + data[at + len(number) :], at


BYTES: Mapping[str, Callable[[Rng, bytes], tuple[bytes, int]]] = {
    "bytes flipped": _flip,
    "cut short": _cut,
    "bytes inserted": _insert,
    "a block filled": _fill,
    "blocks swapped": _swap,
    "a block repeated": _repeat,
    "a number written over": _number,
}


def damage_bytes(rng: Rng, tree: Tree) -> Tree:
    """Damages the bytes of one file of the tree."""
    name = choice(rng, [name for name, content in tree.files.items() if isinstance(content, bytes)])
    how = choice(rng, list(BYTES))
    data, touched = BYTES[how](rng, tree.bytes_of(name))
    covered = name in tree.summed and touched >= tree.summed[name]
    return tree.having(name, data, how, refuse=covered, cut=how == "cut short")


def special_file(rng: Rng, tree: Tree) -> Tree:
    """Replaces one file by something that is no regular file with content."""
    kinds: dict[str, bytes | Special] = {
        "an empty file": b"",
        "a folder": Path.mkdir,
        "a pipe": os.mkfifo,
        "a link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
        "a link to itself": lambda path: path.symlink_to(path.name),
        "a link to nothing": lambda path: path.symlink_to("nothing"),
        "a link to /etc/passwd": lambda path: path.symlink_to("/etc/passwd"),
    }
    name, kind = choice(rng, list(tree.files)), choice(rng, list(kinds))
    return tree.having(name, kinds[kind], kind)


# Texts and JSON -----------------------------------------------------------------------------------------

DEEP = 100_000
"""Brackets of the deepest nesting."""
MANY = 20_000
"""Items of the longest list."""

RAW = (
    "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1e308", "1e-320", "-0.0", "0", "-1", "1.5", "true", "null",
    '""', '"x"', '"NaN"', '"1"', '"%s%n%d"', '"\\u0000"', '"\\ud800"', '"../../etc/passwd"', '"/dev/zero"', "[]", "{}",
    "[[]]", "[1,2,3]", '{"a":1}', "2147483648", "-2147483649", "9223372036854775808", "1e9", "65536", "9" * 30,
    "9" * 5000, "[" * 200 + "]" * 200, "[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP,
    "[" + "0," * MANY + "0]", '"' + "x" * 300_000 + '"',
)  # fmt: skip
"""Values in place of a value of JSON, as text."""

_MARK = "@raw-{}@"


def damage_json(rng: Rng, text: str, *, numbers: bool = False) -> tuple[str, str]:
    """Damages the values of a JSON text and returns the text and the damage.

    Args:
        rng: chooses the damage.
        text: JSON.
        numbers: replace only numbers, by other numbers.
    """
    root = {"": json.loads(text)}
    places = [place for place in _places(root) if not numbers or type(place[0][place[1]]) in (int, float)]
    if not places:
        return text, "nothing"
    kinds = ("value", "value", "value", "lost", "repeated", "many", "renamed", "wrapped", "swapped")
    kind = "number" if numbers else choice(rng, kinds)
    for _ in range(1 if kind != "number" else int(choice(rng, (1, 2, 8)))):
        _damage_place(rng, kind, *choice(rng, places))
    out = json.dumps(root[""])
    out = re.sub(r'"@raw-(\d+)@"(: )?', lambda m: RAW[int(m[1])] if not m[2] else '"repeated": ', out)
    return out, f"a value of JSON {kind}"


FAR = (1e9, -1e9, 1e300, 2**31 - 1, -(2**31), 2**63, 0, -1, 1e-9, 65536, 1e6, -1e6, 0.5)


def _damage_place(rng: Rng, kind: str, holder: Any, key: Any) -> None:
    """Damages one place of JSON: the item or member of a holder."""
    value = holder[key]
    if kind == "number":
        holder[key] = choice(rng, FAR) if rng.random() < 0.7 else value * choice(rng, (1e3, -1, 0, 1e6, 1.01))
    elif kind == "value":
        holder[key] = _MARK.format(int(rng.integers(len(RAW))))
    elif kind == "many" and isinstance(value, list) and value:
        holder[key] = (value * MANY)[:MANY]
    elif kind == "repeated" and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(value))
    elif kind in ("renamed", "repeated") and isinstance(holder, dict) and key:
        holder[key + choice(rng, ("", "s", "\0", " ", "é"))] = holder.pop(key)
    elif kind == "swapped" and isinstance(holder, dict) and len(holder) > 1:
        other = choice(rng, list(holder))
        holder[key], holder[other] = holder[other], holder[key]
    elif kind == "lost" and key != "":
        del holder[key]
    else:
        holder[key] = [value] if rng.random() < 0.5 else {"a": value}


def _places(holder: Any) -> list[tuple[Any, Any]]:
    """Returns every holder and key of a value of JSON."""
    keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
    found: list[tuple[Any, Any]] = []
    for key in keys:
        found += [(holder, key), *_places(holder[key])]
    return found


def damage_text(rng: Rng, text: str) -> tuple[bytes, str]:
    """Damages the encoding or the lines of a text."""
    lines = text.splitlines(keepends=True) or [""]
    at = int(rng.integers(len(lines)))
    kinds: dict[str, Callable[[], bytes]] = {
        "UTF-16": lambda: text.encode("utf-16"),
        "UTF-16 without its mark": lambda: text.encode("utf-16-be"),
        "UTF-8 with its mark": lambda: text.encode("utf-8-sig"),
        "bytes that are no UTF-8": lambda: text.encode()[: len(text) // 2] + b"\xff\xfe\x80" + text.encode(),
        "a null character": lambda: text.encode()[: len(text) // 2] + b"\0" + text.encode()[len(text) // 2 :],
        "carriage returns": lambda: text.replace("\n", "\r").encode(),
        "blank": lambda: b" \n\t\n" * 100,
        "empty": lambda: b"",
        "a line lost": lambda: "".join(lines[:at] + lines[at + 1 :]).encode(),
        "a line repeated": lambda: "".join([*lines[: at + 1], *lines[at:]]).encode(),
        "many lines": lambda: "".join([lines[0], *lines[at : at + 1] * MANY]).encode(),
        "a long line": lambda: "".join([*lines[:at], "x" * 300_000, "\n", *lines[at:]]).encode(),
        "deep brackets": lambda: b"[" * DEEP,
        "an open quote": lambda: "".join([*lines[:at], '"', *lines[at:]]).encode(),
        "random bytes": lambda: rng.bytes(200),
        "a zip archive": lambda: b"PK\x03\x04" + rng.bytes(100),
    }
    kind = choice(rng, list(kinds))
    return kinds[kind](), kind


CELLS = (
    "", " ", "NaN", "inf", "-inf", "1e999", "-1", "0", "1.5", "1e9", "-1e9", "9" * 30, "9" * 5000, "x", "=1+1", "@x",
    "../../etc/passwd", "/dev/zero", "\0", "%s%n", '"', "é", "x" * 200_000, "1;2", "٣", "²", "1_0", "0x10", "١٢",
)  # fmt: skip
"""Values in place of a cell of CSV."""


def damage_cells(rng: Rng, text: str) -> tuple[bytes, str]:
    """Damages the cells of a CSV text."""
    lines = [line.split(",") for line in text.splitlines()]
    for _ in range(int(choice(rng, (1, 1, 3)))):
        row = choice(rng, lines)
        at, kind = int(rng.integers(len(row))), choice(rng, ("value", "value", "lost", "more", "column"))
        if kind == "value":
            row[at] = choice(rng, CELLS)
        elif kind == "lost":
            del row[at]
            row[:] = row or [""]
        elif kind == "more":
            row.insert(at, choice(rng, CELLS))
        else:
            lines[0][int(rng.integers(len(lines[0])))] = choice(rng, (*lines[0], "X", ""))
    return "\n".join(map(",".join, lines)).encode("utf-8", "surrogatepass"), "cells of CSV"


# Bombs --------------------------------------------------------------------------------------------------

GIGABYTES = 4
"""What a bomb unpacks to, 2**30 bytes each."""

_BLOCK = bytes(1 << 24)


@functools.cache
def _packed() -> bytes:
    """Zeros as a block of a deflate stream that can be repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(_BLOCK) + packer.flush(zlib.Z_FULL_FLUSH)


def zlib_bomb(gigabytes: int = GIGABYTES, *, raw: bool = False, start: bytes = b"") -> bytes:
    """Returns a zlib or raw deflate stream of zeros: a compressed block is repeated, so that making it is quick.

    Args:
        gigabytes: size of the content, 2**30 bytes each.
        raw: without zlib's header and checksum.
        start: first bytes of the content.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    count = gigabytes * 2**30 // len(_BLOCK)
    data = first + _packed() * count + packer.flush()
    if raw:
        return data
    low = zlib.adler32(start) & 0xFFFF
    high = ((zlib.adler32(start) >> 16) + low * len(_BLOCK) * count) % 65521
    return b"\x78\x9c" + data + (high << 16 | low).to_bytes(4, "big")


def gzip_bomb(start: bytes = b"", gigabytes: int = GIGABYTES) -> bytes:
    """Returns a gzip file of many members: first some bytes, then zeros."""
    return gzip.compress(start, mtime=0) + gzip.compress(_BLOCK, mtime=0) * (gigabytes * 2**30 // len(_BLOCK))


def bzip2_bomb(gigabytes: int = GIGABYTES) -> bytes:
    """Returns a bzip2 file of many streams of zeros."""
    return bz2.compress(_BLOCK) * (gigabytes * 2**30 // len(_BLOCK))
