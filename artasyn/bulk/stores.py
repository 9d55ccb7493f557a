"""Stores for the files of a large collection: writes and reads them as folders or as tar shards."""

from __future__ import annotations

import io
import itertools
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from artasyn.bulk.run import BatchWork, Each, Outcome, Row, attempt
from artasyn.bulk.sources import Source
from artasyn.files import atomic


@dataclass(frozen=True)
class StoredImage:
    """One synthetic image with all of its files, as bytes.

    Attributes:
        files: the content of every kind of file of the store; empty for a sample that is told in the manifest alone.
        row: for the manifest; the key ``copy`` distinguishes the samples of one source, if there may be several.
        parts: files that not every sample has, by name, such as ``1_mass.png``.
    """

    files: dict[str, bytes]
    row: Row
    parts: Mapping[str, bytes] = field(default_factory=dict)


Make = Callable[[Source], Sequence[StoredImage]]
"""A function that makes the samples of one source."""

Kinds = Mapping[str, tuple[str, str, str]]
"""Kinds of files: for each kind the folder, the suffix, and the name in a shard after the sample's key and a dot."""

KINDS: Kinds = {
    "image": ("images", ".png", "image.png"),
    "mask": ("masks", ".png", "mask.png"),
    "record": ("records", ".json", "json"),
    "annotations": ("annotations", ".json", "annotations.json"),
}
"""The files of every sample."""

PARTS = "parts"
"""The folder, and the column of the manifest, of files that not every sample has."""


@dataclass(frozen=True)
class Folders:
    """Separate files: images/NAME_K.png, masks/NAME_K.png, records/NAME_K.json, annotations/NAME_K.json.

    Attributes:
        out: the folder of the results.
        batch: number of sources that a worker takes at once.
    """

    out: Path
    batch: int = 16

    kinds: ClassVar[Kinds] = KINDS
    """The files of every sample."""
    columns: ClassVar[tuple[str, ...]] = tuple(KINDS)
    """Columns of the manifest that locate a sample."""
    files: ClassVar[tuple[str, ...]] = tuple(KINDS)
    """The columns that name a file or a folder."""
    sealed: ClassVar[bool] = False

    def work(self, make: Make, columns: tuple[str, ...]) -> BatchWork:
        """Returns the work that makes and writes the samples of a batch.

        Args:
            make: makes the samples of one source.
            columns: of the manifest.
        """
        return Each(_IntoFolders(self.out, make, self.kinds), columns)

    def about(self, row: Row) -> dict[str, Any]:
        """Returns the fields of an image in a COCO file."""
        return {"file_name": row["image"], "width": int(row["width"]), "height": int(row["height"])}

    def read(self, rows: Iterable[Row], kind: str) -> Iterator[bytes]:
        """Yields the files of one kind, in the order of the manifest's rows."""
        return ((self.out / row[kind]).read_bytes() for row in rows)


def _numbered(name: str, row: Row) -> str:
    """Returns the name of a sample: that of its source, with the number of the copy if there may be several."""
    return f"{name}_{row['copy']}" if "copy" in row else name


@dataclass(frozen=True)
class _IntoFolders:
    out: Path
    make: Make
    kinds: Kinds

    def __call__(self, source: Source) -> list[Row]:
        rows = []
        for sample in self.make(source):
            stem = _numbered(source.name, sample.row)
            names = {kind: f"{folder}/{stem}{suffix}" for kind, (folder, suffix, _) in self.kinds.items()}
            if sample.parts:
                _clear(self.out / PARTS / stem)
            for name, data in sample.parts.items():
                atomic.write_bytes(self.out / PARTS / stem / name, data)
            for kind, data in sample.files.items():
                atomic.write_bytes(self.out / names[kind], data)
            written = {kind: names[kind] for kind in sample.files}
            rows.append(written | ({PARTS: f"{PARTS}/{stem}"} if sample.parts else {}) | sample.row)
        return rows


def _clear(folder: Path) -> None:
    """Deletes the files in a folder, which a run wrote that broke off before its journal told of them."""
    if folder.is_dir():
        for path in folder.iterdir():
            if not path.is_dir():
                path.unlink()


@dataclass(frozen=True)
class Shards:
    """Tar files in the WebDataset convention: shards/000000.tar, shards/000001.tar and so on.

    A sample consists of the consecutive members KEY.image.png, KEY.mask.png, KEY.json (the record) and
    KEY.annotations.json. Each shard is made from the same number of consecutive radiographs, so its bytes do not
    depend on how the workers share the work.

    Attributes:
        out: the folder of the results.
        batch: number of sources in a shard.

    Source: WebDataset's convention of files that share a key, `github.com/webdataset/webdataset`.
    """

    out: Path
    batch: int = 500

    kinds: ClassVar[Kinds] = KINDS
    """The files of every sample."""
    columns: ClassVar[tuple[str, ...]] = ("shard", *KINDS)
    """Columns of the manifest that locate a sample."""
    files: ClassVar[tuple[str, ...]] = ("shard",)
    """The column that names a file; the other columns name members of this file."""
    sealed: ClassVar[bool] = True

    def work(self, make: Make, columns: tuple[str, ...]) -> BatchWork:
        """Returns the work that makes and writes a shard.

        Args:
            make: makes the samples of one source.
            columns: of the manifest.
        """
        return _IntoShards(self.out, self.batch, make, columns, self.kinds)

    def about(self, row: Row) -> dict[str, Any]:
        """Returns the fields of an image in a COCO file; ``shard`` is an addition to the standard fields."""
        about = {"file_name": row["image"], "width": int(row["width"]), "height": int(row["height"])}
        return about | {"shard": row["shard"]}

    def read(self, rows: Iterable[Row], kind: str) -> Iterator[bytes]:
        """Yields the files of one kind, in the order of the manifest's rows."""
        for shard, group in itertools.groupby(rows, key=lambda row: str(row["shard"])):
            with tarfile.open(self.out / shard) as tar:
                members = {member.name: member for member in tar}
                for row in group:
                    file = tar.extractfile(members[row[kind]])
                    assert file is not None, row[kind]
                    yield file.read()


@dataclass(frozen=True)
class _IntoShards:
    out: Path
    size: int
    make: Make
    columns: tuple[str, ...]
    kinds: Kinds

    def __call__(self, number: int, sources: Sequence[Source]) -> list[Outcome]:
        """Writes one shard, or none if every source is bad."""
        shard = f"shards/{number:06d}.tar"
        outcomes, add = [], None
        with ExitStack() as stack:
            for position, source in enumerate(sources, number * self.size):
                named = _Named(shard, position, self.make, self.kinds)
                outcomes.append(attempt(named, self.columns, source))
                for name, data in named.members:
                    add = add or stack.enter_context(_tar(self.out / shard))
                    add(name, data)
        return outcomes


@dataclass
class _Named:
    """Makes the samples of one source and keeps them as members of a shard."""

    shard: str
    position: int
    make: Make
    kinds: Kinds
    members: list[tuple[str, bytes]] = field(default_factory=list)

    def __call__(self, source: Source) -> list[Row]:
        rows = []
        readable = re.sub(r"[^A-Za-z0-9_-]", "_", source.name)[-60:]
        for sample in self.make(source):
            key = _numbered(f"{self.position:07d}_{readable}", sample.row)
            names = {kind: f"{key}.{self.kinds[kind][2]}" for kind in sample.files}
            self.members += [(name, sample.files[kind]) for kind, name in names.items()]
            self.members += [(f"{key}.{name}", data) for name, data in sample.parts.items()]
            rows.append(({"shard": self.shard} if names else {}) | names | sample.row)
        return rows


@contextmanager
def _tar(path: Path) -> Iterator[Callable[[str, bytes], None]]:
    """Yields a function that adds a member to a new tar file.

    The file is written whole or not at all. Its bytes depend only on its members.
    """
    with atomic.replacing(path) as temporary, tarfile.open(temporary, "w", format=tarfile.GNU_FORMAT) as tar:

        def add(name: str, data: bytes) -> None:
            about = tarfile.TarInfo(name)
            about.size = len(data)
            tar.addfile(about, io.BytesIO(data))

        yield add
