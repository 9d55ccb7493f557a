"""Damaged volumes for `benchmarks.hostile`: NIfTI, NRRD and MetaImage, as CT and as labels, and names of labels."""

from __future__ import annotations

import bz2
import gzip
import re
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from benchmarks.hostile_damage import (
    MANY,
    Edit,
    Rng,
    Tree,
    bzip2_bomb,
    choice,
    damage_bytes,
    damage_cells,
    damage_json,
    damage_text,
    gzip_bomb,
    zlib_bomb,
)
from benchmarks.hostile_series import voxels

Values = NDArray[np.int16]

SPACING = (0.8, 0.9, 2.5)
NUMBERS = (0, 1, -1, 2, 7, 15, 16, 255, 32_767, 65_536, 10**6, 2**31 - 1, -(2**31), 2**32, 2**63 - 1, 10**30)
"""Counts that a header may claim."""
REALS = (0.0, -1.0, 1e-320, 1e30, 1e308, float("nan"), float("inf"), -float("inf"), 0.5, 100.0)
TEXTS = (
    "",
    " ",
    "x",
    "NaN",
    "inf",
    "1e999",
    "-1",
    "0",
    "%s%n%d",
    "1 2",
    "1 2 3 4 5 6 7 8 9 10 11 12 13",
    "(1,0",
    "\0",
    "é",
)
PLACES = (
    "../a",
    "../../../../etc/passwd",
    "/dev/zero",
    "/dev/random",
    "/proc/self/mem",
    "nothing",
    ".",
    "",
    "%s%n",
    "x" * 5000,
)
LISTS = ("LIST\n" + "a.raw\n" * 3, "LIST 99\nx", "LIST", "a.raw", "a.raw 1 2")
META_PLACES = (*LISTS, "a%d.raw 1 1000000000 1", "%d%d%d 1 2 1", "Local")
NRRD_PLACES = (*LISTS, "a%d.raw 0 1000000000 1", "a%03d.raw 0 2 1 2", "%s%n 0 1 1")
"""Places that a header may name instead of its voxels."""


META_KEYS = (
    "HeaderSize", "ElementNumberOfChannels", "ElementByteOrderMSB", "CompressedDataSize", "ElementSize", "Modality",
    "ID", "Comment", "ElementMin", "HeaderSizePerSlice", "ObjectSubType", "DimSize",
)  # fmt: skip
NRRD_KEYS = (
    "byte skip", "line skip", "spacings", "axis mins", "centerings", "block size", "min", "old max", "units", "labels",
    "space units", "measurement frame", "content", "sizes", "thicknesses",
)  # fmt: skip
"""Fields that may be added to a header."""


def _nifti(values: np.ndarray) -> bytes:
    """A NIfTI file of (z, y, x)."""
    image = nibabel.Nifti1Image(values.T, np.diag([-0.8, -0.9, 2.5, 1.0]))
    data: bytes = image.to_bytes()
    return data


def nifti(values: Values | None = None) -> dict[str, Tree]:
    """Intact NIfTI files."""
    values = voxels() if values is None else values
    plain = _nifti(values)
    two: Any = nibabel.Nifti2Image(values.T.astype(np.float32), np.diag([-0.8, -0.9, 2.5, 1.0]))
    return {
        "a.nii": Tree({"a.nii": plain}, "a.nii"),
        "two.nii": Tree({"two.nii": two.to_bytes()}, "two.nii"),
        "a.nii.gz": Tree({"a.nii.gz": gzip.compress(plain, mtime=0)}, "a.nii.gz", {"a.nii.gz": 0}),
    }


def nrrd(values: Values | None = None) -> dict[str, Tree]:
    """Intact NRRD files: every encoding, attached and detached."""
    return {
        "a.nrrd": _nrrd(values, "raw", b""),
        "gzip.nrrd": _nrrd(values, "gzip", b""),
        "bzip2.nrrd": _nrrd(values, "bzip2", b""),
        "a.nhdr": _nrrd(values, "raw", b"a.raw"),
        "gzip.nhdr": _nrrd(values, "gzip", b"a.raw.gz"),
    }


def _nrrd(values: Values | None, encoding: str, apart: bytes) -> Tree:
    values = voxels() if values is None else values
    sizes, steps = " ".join(map(str, values.shape[::-1])), " ".join(f"({x},{y},{z})" for x, y, z in np.diag(SPACING))
    header = (
        f"NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: {sizes}\n"
        f"space directions: {steps}\nkinds: domain domain domain\nendian: little\nencoding: {encoding}\n"
        "space origin: (-120,-95,40)\n"
    ).encode()
    plain = values.astype("<i2").tobytes()
    data = {"raw": plain, "gzip": gzip.compress(plain, mtime=0), "bzip2": bz2.compress(plain)}[encoding]
    if apart:
        summed = {apart.decode(): 0} if encoding != "raw" else {}
        return Tree({"a.nhdr": header + b"data file: " + apart + b"\n", apart.decode(): data}, "a.nhdr", summed)
    header += b"\n"
    summed = {"a.nrrd": len(header)} if encoding != "raw" else {}
    return Tree({"a.nrrd": header + data}, "a.nrrd", summed, optional=encoding == "bzip2")


def metaimage(values: Values | None = None) -> dict[str, Tree]:
    """Intact MetaImage files: raw and compressed, attached and detached."""
    return {
        "a.mha": _metaimage(values, compressed=False, apart=False),
        "packed.mha": _metaimage(values, compressed=True, apart=False),
        "a.mhd": _metaimage(values, compressed=False, apart=True),
        "packed.mhd": _metaimage(values, compressed=True, apart=True),
    }


def _metaimage(values: Values | None, *, compressed: bool, apart: bool) -> Tree:
    values = voxels() if values is None else values
    plain = values.astype("<i2").tobytes()
    data = zlib.compress(plain) if compressed else plain
    name = ("a.zraw" if compressed else "a.raw") if apart else "LOCAL"
    header = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
        f"CompressedData = {compressed}\n"
        + f"CompressedDataSize = {len(data)}\n"
        * compressed
        + "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = -120 -95 40\nCenterOfRotation = 0 0 0\n"
        f"AnatomicalOrientation = RAI\nElementSpacing = {' '.join(map(str, SPACING))}\n"
        f"DimSize = {' '.join(map(str, values.shape[::-1]))}\nElementType = MET_SHORT\nElementDataFile = {name}\n"
    ).encode()
    if apart:
        return Tree({"a.mhd": header, name: data}, "a.mhd", {name: 0} if compressed else {})
    return Tree({"a.mha": header + data}, "a.mha", {"a.mha": len(header)} if compressed else {})


# NIfTI --------------------------------------------------------------------------------------------------


def nifti_header(rng: Rng, tree: Tree) -> Tree:
    """Gives a field of the header a hostile value; a compressed file is compressed again."""
    data = tree.bytes_of(tree.target)
    packed = data[:2] == b"\x1f\x8b"
    plain = bytearray(gzip.decompress(data) if packed else data)
    kind: Any = nibabel.Nifti2Header if plain[0] == 540 % 256 and plain[1] == 540 // 256 else nibabel.Nifti1Header
    fields = kind.template_dtype.fields
    name = choice(rng, ("dim", "dim", "pixdim", "datatype", "bitpix", "vox_offset", "scl_slope", "magic", *fields))
    dtype, at = fields[name][:2]
    count = int(np.prod(dtype.shape, dtype=int))
    item, place = dtype.base, at + dtype.base.itemsize * int(rng.integers(max(1, count)))
    if item.kind == "f":
        value = np.array(choice(rng, REALS)).astype(item).tobytes()
    elif item.kind == "S":
        value = rng.bytes(item.itemsize)
    else:
        value = (int(choice(rng, NUMBERS)) % 2 ** (8 * item.itemsize)).to_bytes(item.itemsize, "little")
    with np.errstate(all="ignore"):
        plain[place : place + item.itemsize] = value
    return tree.having(tree.target, _again(bytes(plain), packed=packed), f"NIfTI {name}")


def _again(data: bytes, *, packed: bool) -> bytes:
    return gzip.compress(data, mtime=0) if packed else data


def nifti_claims(rng: Rng, tree: Tree) -> Tree:
    """Claims more voxels than there are, or unpacks to gigabytes."""
    plain = _nifti(voxels())
    shape = choice(
        rng, ((17, 16, 19), (1000, 1000, 1000), (2000, 1024, 1024), (32_767, 32_767, 32_767), (32_767, 16, 16))
    )
    claimed = plain[:42] + struct.pack("<3h", *shape) + plain[48:]
    kind = choice(rng, ("claim", "claim, packed", "bomb", "bomb after the voxels", "wrong suffix", "extension"))
    target = "a.nii" if kind in ("claim", "wrong suffix") else "a.nii.gz"
    data = {
        "claim": claimed,
        "claim, packed": gzip.compress(claimed),
        "bomb": gzip_bomb(claimed) if kind == "bomb" else b"",
        "bomb after the voxels": gzip_bomb(plain) if "after" in kind else b"",
        "wrong suffix": gzip.compress(claimed),
        "extension": gzip.compress(plain[:348] + b"\1\0\0\0" + struct.pack("<ii", 2**31 - 16, 4) + plain[352:]),
    }[kind]
    return Tree({target: data}, target, damage=f"NIfTI {kind}", refuse="claim" in kind)


# NRRD and MetaImage -------------------------------------------------------------------------------------


def header_edit(rng: Rng, tree: Tree) -> Tree:
    """Loses, repeats, moves or changes a line of the header of a NRRD or MetaImage file."""
    head, rest, mark = _parted(tree)
    lines = head.split(b"\n")
    at = int(rng.integers(len(lines)))
    key, _, value = lines[at].partition(mark)
    how = choice(rng, ("value", "value", "value", "one number", "one number", "lost", "repeated", "moved", "key"))
    if how == "value":
        new = choice(rng, (*TEXTS, *map(str, NUMBERS), "9" * 400, "1 " * MANY))
        lines[at] = key + mark + b" " + new.encode()
    elif how == "one number":
        found = list(re.finditer(rb"-?\d+(\.\d+)?", value))
        if found:
            one = choice(rng, found)
            new = str(choice(rng, (*NUMBERS, *REALS))).encode()
            lines[at] = key + mark + value[: one.start()] + new + value[one.end() :]
    elif how == "lost":
        del lines[at]
    elif how == "repeated":
        lines.insert(int(rng.integers(len(lines))), lines[at])
    elif how == "moved":
        lines.insert(int(rng.integers(len(lines))), lines.pop(at))
    else:
        lines[at] = choice(rng, (b"", b"x", b"#", key.upper(), key + b"\0", key * 200)) + mark + value
    label = f"header {key[:20].decode(errors='replace')}: {how}"
    return tree.having(tree.target, b"\n".join(lines) + rest, label)


def _parted(tree: Tree) -> tuple[bytes, bytes, bytes]:
    """Returns the header without its last line end, the rest, and the mark between key and value."""
    data = tree.bytes_of(tree.target)
    if tree.target.endswith((".mha", ".mhd")):
        end = data.index(b"\n", data.index(b"ElementDataFile"))
        return data[:end], data[end:], b"="
    end = data.find(b"\n\n") if tree.target.endswith(".nrrd") else len(data.rstrip(b"\n"))
    return data[:end], data[end:], b":"


def header_added(rng: Rng, tree: Tree) -> Tree:
    """Adds a line to the header that changes where and how the voxels are read."""
    head, rest, _ = _parted(tree)
    value = choice(rng, (*TEXTS[:9], *map(str, NUMBERS)))
    if tree.target.endswith((".mha", ".mhd")):
        line = f"{choice(rng, META_KEYS)} = {value}"
        first, _, last = head.rpartition(b"\n")
        data = first + b"\n" + line.encode() + b"\n" + last + rest
    else:
        line = f"{choice(rng, NRRD_KEYS)}: {value}"
        data = head + b"\n" + line.encode() + rest
    return tree.having(tree.target, data, f"header line added: {line[:24]}")


def places_edit(rng: Rng, tree: Tree) -> Tree:
    """Names another place for the voxels: outside of the folder, a device, a pattern, a list."""
    head, rest, mark = _parted(tree)
    new = choice(rng, (choice(rng, PLACES), choice(rng, META_PLACES if mark == b"=" else NRRD_PLACES)))
    if mark == b"=":
        data = re.sub(rb"ElementDataFile = .*", lambda _: b"ElementDataFile = " + new.encode(), head)
    else:
        data = re.sub(rb"\ndata ?file:.*", b"", head) + f"\ndata file: {new}".encode()
    return tree.having(tree.target, data + rest, f"voxels elsewhere: {new[:24]!r}")


def claims(rng: Rng, tree: Tree) -> Tree:
    """Claims one slice more than there are, or very many, or unpacks to gigabytes."""
    head, rest, mark = _parted(tree)
    slices = choice(rng, (19, 19, 17, 2000, 10**6, 2**31))
    head = re.sub(rb"(sizes: 17 16|DimSize = 17 16) 18", lambda m: m[1] + f" {slices}".encode(), head)
    kind = choice(rng, ("claim", "claim", "bomb"))
    files = dict(tree.files)
    if kind == "bomb":
        bomb = _bomb(head)
        shape = b"1024 1024 %d" % choice(rng, (16, 2047))
        head = re.sub(rb"(sizes: |DimSize = )[\d ]+", lambda m: m[1] + shape, head)
        head = re.sub(rb"CompressedDataSize = \d+", b"CompressedDataSize = %d" % (len(bomb) or 2**30), head)
        apart = next((name for name in files if name != tree.target), None)
        rest = rest if apart else (b"\n" if mark == b"=" else b"\n\n") + bomb
        files |= {apart: bomb} if apart else {}
    files[tree.target] = head + rest
    more = slices > 18 and kind == "claim"
    return Tree(files, tree.target, damage=f"header {kind}", refuse=more)


def _bomb(head: bytes) -> bytes:
    """Gigabytes of zeros, packed as a header says; nothing where it says that they are not packed."""
    if b"CompressedData = True" in head:
        return zlib_bomb()
    found = re.search(rb"encoding: (gzip|bzip2)", head)
    return b"" if found is None else gzip_bomb() if found[1] == b"gzip" else bzip2_bomb()


# Names of labels ----------------------------------------------------------------------------------------


def names() -> dict[str, Tree]:
    """Intact tables with the names of labels."""
    one = b'{"1": "lung_upper_lobe_left", "2": "heart", "3": "liver", "0": "background"}'
    two = b'{"labels": {"background": 0, "heart": 1, "liver": 2}}'
    table = b"id,structure\n1,lung_upper_lobe_left\n2,heart\n3,liver\n"
    return {name: Tree({name: data}, name) for name, data in {"a.json": one, "b.json": two, "a.csv": table}.items()}


def names_edit(rng: Rng, tree: Tree) -> Tree:
    """Damages values or cells, or lines and encoding."""
    text = tree.bytes_of(tree.target).decode()
    if rng.random() < 0.4:
        return tree.having(tree.target, *damage_text(rng, text))
    if tree.target.endswith(".json"):
        out, damage = damage_json(rng, text)
        return tree.having(tree.target, out.encode("utf-8", "surrogatepass"), damage)
    return tree.having(tree.target, *damage_cells(rng, text))


NIFTI_EDITS: tuple[Edit, ...] = (damage_bytes, nifti_header, nifti_header, nifti_claims)
ITK_EDITS: tuple[Edit, ...] = (damage_bytes, header_edit, header_edit, header_added, places_edit, claims)
NAMES_EDITS: tuple[Edit, ...] = (names_edit,)
TREES: Mapping[str, Any] = {"nifti": nifti, "nrrd": nrrd, "metaimage": metaimage}
