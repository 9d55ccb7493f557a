"""Volumes whose header is text: NRRD, with the segments of 3D Slicer, and MetaImage. Nothing in them is guessed.

A field that is unknown or there twice is refused if it could change the voxels or their place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artasyn.errors import DataError
from artasyn.files.ct_names import segment_names
from artasyn.files.ct_volumes import FROM_LPS, Stored, check_affine, check_axes, check_size
from artasyn.pixels.volume_bytes import (
    Encoding,
    Part,
    after_lines,
    beginning,
    check_packed,
    lines_after,
    next_line,
    numbered_files,
    numbers,
    parts_of,
    read_chunks,
    to_skip,
)

Affine = NDArray[np.float64]

NRRD_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
NRRD_ENCODINGS: dict[str, Encoding] = {
    **dict.fromkeys(("text", "txt", "ascii"), "text"),
    **dict.fromkeys(("gzip", "gz"), "deflate"),
    **dict.fromkeys(("bzip2", "bz2"), "bzip2"),
    "raw": "raw",
}
NRRD_SPACES = {
    **dict.fromkeys(("left-posterior-superior", "lps"), FROM_LPS),
    **dict.fromkeys(("right-anterior-superior", "ras"), np.eye(4)),
    **dict.fromkeys(("left-anterior-superior", "las"), np.diag([-1.0, 1.0, 1.0, 1.0])),
}
"""Maps from the axes of a space to RAS+."""
NRRD_FIELDS = re.compile(
    "type|dimension|space|sizes|spacedirections|spaceorigin|spaceunits|endian|encoding|lineskip|byteskip|datafile|"
    "content|number|kinds|labels|units|centers|centerings|sampleunits|blocksize|measurementframe|thicknesses|min|max|"
    "spacedimension"
)
NRRD_EMPTY = re.compile("spacings|axismins|axismaxs|oldmin|oldmax")
"""Fields without blanks; the second ones contradict the space directions or rescale voxels, so they must be ``nan``."""

META_TYPES = {
    **{"MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4"},
    **{"MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8"},
    **{"MET_FLOAT": "f4", "MET_DOUBLE": "f8"},
}
META_ALIASES = {
    **dict.fromkeys(("TransformMatrix", "Orientation", "Rotation"), "TransformMatrix"),
    **dict.fromkeys(("Offset", "Position", "Origin"), "Offset"),
    **dict.fromkeys(("BinaryDataByteOrderMSB", "ElementByteOrderMSB"), "ByteOrderMSB"),
}
"""Fields that have several names."""
META_SUSPECT = re.compile(r"(Element|Binary|Compress|Data|Header|Dim|NDims|Intensity).*", re.IGNORECASE)
META_KNOWN = re.compile(
    "NDims|DimSize|Element(Type|DataFile|NumberOfChannels|Min|Max|Spacing|Size|ToIntensityFunction(Slope|Offset))|"
    "BinaryData|CompressedData(Size)?|HeaderSize|DistanceUnits"
)
"""Fields whose names begin alike could change the voxels, so only those that are known may be there."""


@dataclass(frozen=True)
class _Header:
    """A header.

    Attributes:
        fields: the fields that the format defines, by name.
        pairs: the values of keys that a program added.
        listed: the lines after a field that begins a list of files.
        end: the first byte after the header.
    """

    fields: Mapping[str, str]
    pairs: Mapping[str, str]
    listed: Sequence[str]
    end: int


def _add(known: dict[str, str], name: str, value: str) -> None:
    if known.setdefault(name, value) != value:
        raise DataError(f"says {name[:80]!r} twice, and not alike; it is damaged, copy or export it again")


def _check_place(missing: Sequence[str]) -> None:
    if missing:
        raise DataError(f"does not say how it lies in the patient (no {', no '.join(missing)}); export it again")


# NRRD -----------------------------------------------------------------------------------------------------


def read_nrrd(path: Path) -> Stored:
    """Reads an NRRD file, with its voxels inside or in other files.

    Three axes lie in space. One more axis may lie outside (``none`` in the space directions): it holds the layers of a
    segmentation.

    Args:
        path: the file with the header.

    Raises:
        DataError: the header is damaged, says no orientation, or says something that is not read here; or the voxels
            are too many or not where the header says. The message continues a sentence that begins with the file's
            name.

    Source: https://teem.sourceforge.net/nrrd/format.html, definition of NRRD files.
    """
    header = _nrrd_header(path)
    fields = header.fields
    dtype, sizes = _nrrd_type(fields), numbers(fields.get("sizes", ""), int, "sizes")
    if numbers(fields.get("dimension", ""), int, "dimension") != [len(sizes)]:
        raise DataError(f"has dimension {fields.get('dimension', 'none')[:80]} and {len(sizes)} sizes; export it again")
    check_size(sizes, dtype.itemsize)
    vectors = _nrrd_vectors(fields, sizes)
    space = [axis for axis, vector in enumerate(vectors) if vector is not None]
    layers = [axis for axis, vector in enumerate(vectors) if vector is None and sizes[axis] > 1]
    if len(layers) > 1:
        check_axes(sizes)
    affine, notes = _nrrd_affine(fields, [vector for vector in vectors if vector is not None])
    kept = [axis for axis in range(len(sizes) - 1, -1, -1) if axis in space or axis in layers]
    names, more = segment_names(header.pairs, sizes[layers[0]] if layers else 1)
    shape, layer = tuple(sizes[axis] for axis in kept), kept.index(layers[0]) if layers else None
    chunks = read_chunks(_nrrd_parts(path, header, sizes, dtype), dtype)
    return Stored(shape, affine[:, [2, 1, 0, 3]], chunks, layers=layer, notes=notes + more, names=names)


def _nrrd_header(path: Path) -> _Header:
    head = beginning(path)
    if not re.match(rb"NRRD000[1-5]\r?\n", head):
        raise DataError(f"is damaged or cut short: it begins with {head[:8]!r}, which is no NRRD; export it again")
    fields, pairs, end = dict[str, str](), dict[str, str](), next_line(head, 0)[1]
    while end < len(head):
        line, end = next_line(head, end)
        if not line:
            return _Header(fields, pairs, (), end)
        found = re.fullmatch(r"([^:]+):(=?)(.*)", line)
        if line.startswith("#"):
            continue
        if not found:
            raise DataError(f"is damaged or cut short: its header has the line {line[:80]!r}; copy or export it again")
        name = "".join(found[1].lower().split())
        if found[2]:
            _add(pairs, found[1], found[3].strip())
        elif NRRD_FIELDS.fullmatch(name):
            _add(fields, name, found[3].strip())
        elif NRRD_EMPTY.fullmatch(name) and not re.fullmatch(r"(\s|nan)*", found[3].lower()):
            raise DataError(f"has {line[:80]!r} beside its space directions; export it again without")
        elif not NRRD_EMPTY.fullmatch(name):
            raise DataError(f"has the field {found[1][:80]!r}, which NRRD does not know; export it again")
        if name == "datafile" and found[3].split()[:1] == ["LIST"]:
            return _Header(fields, pairs, lines_after(head, end), len(head))
    if "datafile" not in fields:
        raise DataError("is damaged or cut short: its header does not end; copy or export it again")
    return _Header(fields, pairs, (), end)


def _nrrd_type(fields: Mapping[str, str]) -> np.dtype[Any]:
    """Returns the type of a voxel with its byte order."""
    given = " ".join(fields.get("type", "").lower().split())
    code = next((code for code, names in NRRD_TYPES.items() if given in names), "")
    if not code:
        raise DataError(f"has voxels of type {given[:80] or 'none'}; save them as short or float")
    order = {"little": "<", "big": ">"}.get(fields.get("endian", "").lower(), "")
    if not order and code[1] != "1" and NRRD_ENCODINGS.get(fields.get("encoding", "").lower()) != "text":
        raise DataError(f"has the byte order {fields.get('endian', 'none')[:40]}, not little or big; export it again")
    return np.dtype(f"{order}{code}")


def _nrrd_vectors(fields: Mapping[str, str], sizes: Sequence[int]) -> list[list[float] | None]:
    """Returns the space direction of every axis, None for an axis that does not lie in space; three axes do."""
    given = fields.get("spacedirections", "")
    words = re.findall(r"none|\([^()]*\)", given)
    odd = len(words) - words.count("none") != 3
    if odd:
        check_axes(sizes)
    missing = ["space"] if fields.get("space", "").lower() not in NRRD_SPACES else []
    _check_place([*missing, "space directions"] if odd else missing)
    vectors = [None if w == "none" else numbers(w[1:-1].replace(",", " "), float, "space directions") for w in words]
    exact = "".join("".join(words).split()) == "".join(given.split())
    if not exact or len(words) != len(sizes) or any(len(vector) != 3 for vector in vectors if vector is not None):
        raise DataError(f"has the space directions {given[:80]!r}; it is damaged, copy or export it again")
    return vectors


def _nrrd_affine(fields: Mapping[str, str], vectors: Sequence[Sequence[float]]) -> tuple[Affine, tuple[str, ...]]:
    """Returns the affine of the axes in space, and a note if the header does not say where the first voxel lies."""
    units = set(re.findall(r'[^"\s]+', fields.get("spaceunits", "").lower()))
    if not units <= {"mm", "millimeter", "millimeters", "millimetre", "millimetres", "none", "???"}:
        raise DataError(f"has the space units {fields['spaceunits'][:80]}; convert it to mm")
    origin = numbers(re.sub(r"[(),]", " ", fields.get("spaceorigin", "0 0 0")), float, "space origin")
    if len(origin) != 3:
        raise DataError(f"has the space origin {fields['spaceorigin'][:80]!r}; it is damaged, copy or export it again")
    affine = np.eye(4)
    affine[:3] = np.column_stack([*vectors, origin])
    notes = () if "spaceorigin" in fields else ("the header has no origin; the first voxel is put at 0, 0, 0 mm",)
    affine = NRRD_SPACES[fields["space"].lower()] @ affine
    check_affine(affine)
    return affine, notes


def _nrrd_parts(path: Path, header: _Header, sizes: Sequence[int], dtype: np.dtype[Any]) -> list[Part]:
    """Returns where the voxels lie: after the header, in another file, or in several, each with a part of the axes."""
    fields = header.fields
    encoding = NRRD_ENCODINGS.get(fields.get("encoding", "").lower())
    if encoding is None:
        given = fields.get("encoding", "none")[:80]
        raise DataError(f"has the encoding {given}; save it with one of {', '.join(NRRD_ENCODINGS)}")
    lines, skip = to_skip(fields, "lineskip"), to_skip(fields, "byteskip")
    if lines < 0 or (skip < 0 and encoding != "raw"):
        raise DataError("skips all lines, or all bytes before compressed voxels; export it again")
    names, given = [path.name], fields.get("datafile", "")
    several = re.fullmatch(r"(.*%\S*) ([0-9]{1,9}) ([0-9]{1,9}) ([0-9]{1,9})( [0-9]+)?", given)
    if several or given.split()[:1] == ["LIST"]:
        axes = numbers((several[5] or "") if several else given.removeprefix("LIST"), int, "data file")
        axis = axes[0] if axes else len(sizes) - 1
        if len(axes) > 1 or not 0 < axis <= len(sizes):
            raise DataError(f"has {given[:80]!r} as its data file; it is damaged, copy or export it again")
        first, last, step = map(int, several.groups()[1:4]) if several else (1, len(header.listed), 1)
        count = math.prod(sizes[axis:]) if axis < len(sizes) else len(range(first, last + 1, max(1, step)))
        names = numbered_files(several[1], first, last, step, count) if several else list(header.listed)
        if len(names) != count or (axis == len(sizes) and sizes[-1] % count):
            raise DataError(f"names {len(names)} files, but its voxels need {count}; copy or export it again")
    elif given:
        names = [given]
    start = 0 if given else header.end
    if lines and len(names) > 1:
        raise DataError("skips lines in several files; export it as one file")
    start = after_lines(path.parent / names[0], start, lines) if lines else start
    return parts_of(path.parent, names, math.prod(sizes) * dtype.itemsize, encoding, start=start, skip=skip)


# MetaImage ------------------------------------------------------------------------------------------------


def read_metaimage(path: Path) -> Stored:
    """Reads a MetaImage file, with its voxels inside or in other files.

    Args:
        path: the file with the header.

    Raises:
        DataError: the header is damaged, says no orientation, or says something that is not read here; or the voxels
            are too many or not where the header says. The message continues a sentence that begins with the file's
            name.

    Source: https://itk.org/Wiki/ITK/MetaIO/Documentation, and the source code of MetaIO where that is silent.
    """
    header = _meta_header(path)
    fields = header.fields
    sizes = numbers(fields.get("DimSize", ""), int, "DimSize")
    if numbers(fields.get("NDims", ""), int, "NDims") != [len(sizes)]:
        raise DataError(f"has NDims {fields.get('NDims', 'none')[:80]} and {len(sizes)} sizes; export it again")
    channels = numbers(fields.get("ElementNumberOfChannels", "1"), int, "ElementNumberOfChannels")
    if channels != [1]:
        raise DataError(f"holds {fields['ElementNumberOfChannels'][:20]} numbers per voxel; export a volume of one")
    code = META_TYPES.get(fields.get("ElementType", "").upper(), "")
    if not code:
        raise DataError(f"has voxels of type {fields.get('ElementType', 'none')[:80]}; save them as short or float")
    dtype = np.dtype(code)
    check_size(sizes, dtype.itemsize)
    check_axes(sizes)
    affine, notes = _meta_affine(fields, len(sizes))
    binary, most = _flag(fields, "BinaryData", True), _flag(fields, "ByteOrderMSB", False)
    if binary and "ByteOrderMSB" not in fields and dtype.itemsize > 1:
        notes += ("the header has no byte order; the lowest byte is taken to come first",)
    dtype = dtype.newbyteorder(">" if most and binary else "<")
    chunks = read_chunks(_meta_parts(path, header, sizes, dtype), dtype)
    return Stored(tuple(sizes[2::-1]), affine[:, [2, 1, 0, 3]], chunks, notes=notes)


def _meta_header(path: Path) -> _Header:
    head = beginning(path)
    fields, pairs, end = dict[str, str](), dict[str, str](), 0
    while end < len(head):
        line, end = next_line(head, end)
        name, equals, value = (part.strip() for part in line.partition("="))
        if not line.strip():
            continue
        if not equals or not name.isprintable():
            break
        if name in META_ALIASES or META_KNOWN.fullmatch(name):
            _add(fields, META_ALIASES.get(name, name), value)
        elif META_SUSPECT.fullmatch(name):
            raise DataError(f"has the field {name[:80]!r}, which MetaImage does not know; export it again")
        else:
            pairs[name] = value
        if name == "ElementDataFile":
            several = value.split()[:1] == ["LIST"]
            return _Header(fields, pairs, lines_after(head, end) if several else (), end)
    raise DataError(
        f"is damaged or cut short: its header has no ElementDataFile before {head[max(0, end - 20) : end][:20]!r}; "
        "copy or export it again"
    )


def _flag(fields: Mapping[str, str], name: str, default: bool) -> bool:
    value = fields.get(name, str(default)).lower()
    if value not in ("true", "false", "t", "f", "1", "0"):
        raise DataError(f"has {fields[name][:80]!r} as its {name}, not True or False; copy or export it again")
    return value in ("true", "t", "1")


def _meta_affine(fields: Mapping[str, str], axes: int) -> tuple[Affine, tuple[str, ...]]:
    """Returns the affine, and a note if the header does not say where the first voxel lies."""
    spacing = fields.get("ElementSpacing", fields.get("ElementSize"))
    missing = ["TransformMatrix"] if "TransformMatrix" not in fields else []
    _check_place([*missing, "ElementSpacing"] if spacing is None else missing)
    if fields.get("DistanceUnits", "mm").lower() not in ("mm", "?"):
        raise DataError(f"has the distance units {fields['DistanceUnits'][:80]}; convert it to mm")
    columns = np.reshape(_counted(fields["TransformMatrix"], axes * axes, "TransformMatrix"), (axes, axes))
    steps = np.array(_counted(spacing or "", axes, "ElementSpacing"))
    origin = _counted(fields.get("Offset", " 0" * axes), axes, "Offset")
    if (steps < 0).any():
        raise DataError(f"has the ElementSpacing {spacing}; it is damaged, copy or export it again")
    affine = np.eye(4)
    affine[:3, :3] = columns[:3, :3].T * steps[:3]
    affine[:3, 3] = origin[:3]
    affine = FROM_LPS @ affine
    check_affine(affine)
    notes = () if "Offset" in fields else ("the header has no origin; the first voxel is put at 0, 0, 0 mm",)
    return affine, notes


def _counted(text: str, count: int, name: str) -> list[float]:
    found = numbers(text, float, name)
    if len(found) != count:
        raise DataError(f"has {len(found)} numbers as its {name}, not {count}; it is damaged, copy or export it again")
    return found


def _meta_parts(path: Path, header: _Header, sizes: Sequence[int], dtype: np.dtype[Any]) -> list[Part]:
    """Returns where the voxels lie: after the header, in another file, or in several, each with a part of the axes."""
    fields, given = header.fields, header.fields["ElementDataFile"]
    for name, usual in (("Slope", 1.0), ("Offset", 0.0)):
        if _counted(fields.get(f"ElementToIntensityFunction{name}", f"{usual}"), 1, name) != [usual]:
            raise DataError("has voxels that must be rescaled first (ElementToIntensityFunction); export it without")
    packed, binary = _flag(fields, "CompressedData", False), _flag(fields, "BinaryData", True)
    if packed and not binary:
        raise DataError("holds text that is compressed; export it as binary")
    encoding: Encoding = "deflate" if packed else "raw" if binary else "text"
    words, local = given.split(), given.upper() == "LOCAL"
    names, before = [path.name if local else given], to_skip(fields, "HeaderSize")
    if words[:1] == ["LIST"]:
        found = re.fullmatch(r"([1-9])?D?", "".join(words[1:]))
        axis = int(found[1] or len(sizes) - 1) if found else 0
        names = list(header.listed)
        if not 0 < axis <= len(sizes) or len(names) != math.prod(sizes[axis:]):
            raise DataError(f"names {len(names)} files, but its voxels need {math.prod(sizes[axis:])}; export it again")
    elif "%" in given:
        first, last, step = (
            numbers(" ".join(words[1:]), int, "ElementDataFile") + [1, sizes[-1], 1][len(words) - 1 :]
        )[:3]
        names = numbered_files(words[0], first, last, step, sizes[-1])
    if packed and before < 0:
        raise DataError("skips all bytes before compressed voxels; export it again")
    start = (header.end if local else 0) + (before if packed else 0)
    parts = parts_of(
        path.parent, names, math.prod(sizes) * dtype.itemsize, encoding, start=start, skip=0 if packed else before
    )
    [stated] = _counted(fields.get("CompressedDataSize", "0"), 1, "CompressedDataSize")
    if packed and stated and len(parts) == 1:
        check_packed(parts[0], stated)
    return parts
