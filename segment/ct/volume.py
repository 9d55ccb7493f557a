"""A CT with its structures, from which radiographs and anatomy masks are projected."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from scipy import ndimage

from artasyn.arrays import HIGHEST, LOWEST, Affine, Hounsfield, Vector, VolumeLabels, VolumeMask, VoxelMap
from artasyn.errors import DataError
from artasyn.segment.ct.attenuation import attenuations
from artasyn.segment.ct.body import find_body
from artasyn.segment.structures import canonical, members


@dataclass(frozen=True, eq=False)
class Structure:
    """One structure, stored in its bounding box.

    Attributes:
        start: the box's first voxel (z, y, x) in the volume.
        mask: bool (z, y, x), the structure in its box.
    """

    start: tuple[int, int, int]
    mask: VolumeMask

    @classmethod
    def of(cls, mask: VolumeMask, start: tuple[int, int, int] = (0, 0, 0)) -> Structure:
        """Makes the structure of a mask, cropped to the smallest box that holds it.

        Args:
            mask: bool (z, y, x).
            start: the mask's first voxel in the volume.

        Raises:
            DataError: the mask is empty.
        """
        ranges = []
        for axis in range(3):
            places = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
            if places.size == 0:
                raise DataError("a structure without a voxel; leave it out")
            ranges.append(slice(int(places[0]), int(places[-1]) + 1))
        z, y, x = (first + each.start for first, each in zip(start, ranges, strict=True))
        return cls((z, y, x), np.ascontiguousarray(mask[tuple(ranges)]))

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """The place of the box in the volume."""
        return _box(self.start, self.mask.shape)

    @cached_property
    def voxels(self) -> int:
        """Number of voxels."""
        return int(np.count_nonzero(self.mask))

    def centroid(self) -> tuple[float, float, float]:
        """Returns the mean position (z, y, x) of the voxels in the volume."""
        sums = [self.mask.sum(axis=tuple({0, 1, 2} - {axis})) for axis in range(3)]
        z, y, x = (s + float(n @ np.arange(n.size)) / self.voxels for s, n in zip(self.start, sums, strict=True))
        return z, y, x


@runtime_checkable
class PhantomLike(Protocol):
    """The interface that `Volume.of_phantom` needs, see `artasyn.phantom.film.PhantomVolume`."""

    @property
    def hu(self) -> Hounsfield: ...  # noqa: D102
    @property
    def labels(self) -> VolumeLabels: ...  # noqa: D102
    @property
    def names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def spacing(self) -> float: ...  # noqa: D102
    @property
    def origin(self) -> tuple[float, float, float]: ...  # noqa: D102


class Matter(NamedTuple):
    """The attenuation of a volume, stored in a bounding box.

    Attributes:
        start: the box's first voxel (z, y, x) in the volume.
        attenuation: attenuation per millimetre, float32 (z, y, x).
    """

    start: tuple[int, int, int]
    attenuation: VoxelMap

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """The place of the box in the volume."""
        return _box(self.start, self.attenuation.shape)


@dataclass(frozen=True, eq=False)
class Volume:
    """A chest CT with its structures, which may overlap.

    Attributes:
        hu: Hounsfield units, int16 (z, y, x) in [-1024, 3071]: z head to foot, y front to back, x the patient's
            right to left.
        affine: float64 (4, 4), from a voxel (z, y, x, 1) to RAS+ millimetres, as in NIfTI; may be oblique.
        structures: structures by name, spelled as `artasyn.segment.structures.canonical` does.
        notes: remarks about the files that the volume was read from, which nobody must act on.
        cut_before: structures that an end of the scan cut off before the volume was changed.

    Raises:
        DataError: another dtype or range, or a structure outside the volume.

    Example:
        >>> from artasyn import Phantom
        >>> volume = Volume.of_phantom(Phantom().volume(Phantom().draw(np.random.default_rng(0)), spacing=6.0))
        >>> volume.spacing, sorted(volume.structures)[:3]
        ((6.0, 6.0, 6.0), ['abdomen', 'aorta', 'breast_left'])
    """

    hu: Hounsfield
    affine: Affine
    structures: Mapping[str, Structure] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    cut_before: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.hu.dtype != np.int16 or self.hu.ndim != 3:
            raise DataError(
                f"a volume must be int16 (z, y, x) in Hounsfield units, not {self.hu.dtype} {self.hu.shape}"
            )
        low, high = int(self.hu.min()), int(self.hu.max())
        if low < LOWEST or high > HIGHEST:
            raise DataError(f"Hounsfield units must lie in [{LOWEST}, {HIGHEST}], found {low} to {high}; clip them")
        for name, structure in self.structures.items():
            if any(s.start < 0 or s.stop > n for s, n in zip(structure.box, self.hu.shape, strict=True)):
                raise DataError(f"{name} reaches out of the volume {self.hu.shape}")

    @classmethod
    def read(
        cls,
        path: Path | str,
        labels: Path | str | None = None,
        names: Mapping[int, str] | Path | str | None = None,
        *,
        table: bool = False,
        resample: bool = False,
    ) -> Volume:
        """Reads a CT and its labels.

        Args:
            path: NIfTI, NRRD, MetaImage, or a folder with the slices of one DICOM series.
            labels: a label map on the same grid, or a folder of masks with one file for each structure, as
                TotalSegmentator writes them. A label map is a NIfTI, NRRD or MetaImage file or a DICOM segmentation.
            names: the names of the label map's numbers, or a file with them, see `artasyn.files.ct.read_names`. Without
                names, those count that the label map itself holds. Structures without both are called ``label_1`` and
                so on. The masks of a folder are called by their files.
            table: whether the table stays in the volume.
            resample: whether labels on another grid are resampled to the CT, see `artasyn.files.ct.resampled`.

        Raises:
            DataError: a file is missing, damaged or not a CT, or the labels are on another grid.
        """
        from artasyn.files.ct import read_ct

        grid = read_ct(Path(path))
        volume = cls(grid.values, grid.affine, notes=_named(Path(path), grid.notes))
        if not table:
            volume = volume.without_table()
        return volume if labels is None else volume.labelled(Path(labels), names, resample=resample)

    @classmethod
    def of_labels(cls, hu: Hounsfield, affine: Affine, labels: VolumeLabels, names: Mapping[int, str]) -> Volume:
        """Makes a volume whose structures are the numbers of a label map.

        Args:
            hu: int16 (z, y, x).
            affine: float64 (4, 4), see the class.
            labels: uint8 or uint16 (z, y, x), 0 for none.
            names: names of the numbers. Numbers without a name are called ``label_7`` and so on.

        Raises:
            DataError: the labels are on another grid.
        """
        if labels.shape != hu.shape:
            raise DataError(f"the labels are {labels.shape}, the volume is {hu.shape}; both must be on one grid")
        return cls(hu, affine, _of_label_map(labels, names))

    @classmethod
    def of_phantom(cls, phantom: PhantomLike) -> Volume:
        """Makes a volume with structures from a phantom's volume.

        Args:
            phantom: a `artasyn.phantom.film.PhantomVolume`.
        """
        hu = np.clip(np.rint(phantom.hu), LOWEST, HIGHEST).astype(np.int16)
        affine = np.zeros((4, 4))
        affine[[2, 1, 0], [0, 1, 2]] = -phantom.spacing
        affine[:3, 3] = [-origin for origin in reversed(phantom.origin)]
        affine[3, 3] = 1
        return cls.of_labels(hu, affine, phantom.labels, dict(enumerate(phantom.names)))

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Size of a voxel along z, y and x, mm."""
        z, y, x = (float(size) for size in np.linalg.norm(self.affine[:3, :3], axis=0))
        return z, y, x

    @property
    def voxel_volume(self) -> float:
        """Volume of a voxel, mm3."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def centre(self) -> Vector:
        """The middle of the volume, RAS+ mm."""
        return self.place((np.array(self.hu.shape) - 1) / 2)

    @property
    def cut(self) -> tuple[str, ...]:
        """Names of the structures that reach an end of the scan, now or before the volume was changed."""
        return tuple(name for name, each in self.structures.items() if name in self.cut_before or self._ends(each))

    def _ends(self, structure: Structure) -> bool:
        return any(s.start == 0 or s.stop == n for s, n in zip(structure.box, self.hu.shape, strict=True))

    def place(self, voxel: Vector) -> Vector:
        """Returns the position of a voxel (z, y, x), RAS+ mm."""
        return np.asarray(self.affine[:3, :3] @ voxel + self.affine[:3, 3])

    @cached_property
    def matter(self) -> Matter:
        """The attenuation of everything denser than air, in its bounding box; computed once."""
        some = self.hu > -1000
        box = Structure.of(some) if some.any() else Structure((0, 0, 0), some[:1, :1, :1])
        return Matter(box.start, attenuations(self.hu[box.box]))

    def mask(self, name: str) -> VolumeMask:
        """Returns a structure, or the union of a group, bool (z, y, x) on the grid of the volume.

        Raises:
            DataError: there is no structure and no group of this name.
        """
        mask = np.zeros(self.hu.shape, bool)
        for each in members(name, self.structures):
            mask[self.structures[each].box] |= self.structures[each].mask
        return mask

    def with_structures(self, **structures: Structure) -> Volume:
        """Returns the volume with more structures; structures of the same name are replaced."""
        return dataclasses.replace(self, structures={**self.structures, **structures})

    def labelled(
        self,
        path: Path | str,
        names: Mapping[int, str] | Path | str | None = None,
        prefix: str = "",
        *,
        resample: bool = False,
    ) -> Volume:
        """Returns the volume with the structures of a label map or of a folder of masks added, see `read`.

        Args:
            path: the file or folder.
            names: names of the numbers, see `read`.
            prefix: prefix for numbers without a name; names in the file do not count. Without `names`, a single mask is
                called by the prefix alone.
            resample: whether labels on another grid are resampled, see `read`.

        Raises:
            DataError: a file is missing, damaged or on another grid.
        """
        from artasyn.files.ct import read_names

        given = read_names(Path(names)) if isinstance(names, (str, Path)) else names
        found: dict[str, Structure] = {}
        notes = dict.fromkeys(self.notes)
        for file, name in _label_files(Path(path)):
            start = prefix or name
            for labels, own, remarks in self._read_labels(file, resample=resample):
                used = {} if start or given is not None else own
                part = _of_label_map(labels, given or used, start)
                twice = sorted(part.keys() & found.keys())
                if twice:
                    raise DataError(f"{file}: {', '.join(twice)} is there twice")
                found |= part
                remarks += ("the names of its structures come from itself",) if used else ()
                notes |= dict.fromkeys(_named(file, remarks))
        if not found:
            raise DataError("; ".join([f"{path}: no voxel is labelled", *notes]))
        return dataclasses.replace(self.with_structures(**found), notes=tuple(notes))

    def _read_labels(
        self, path: Path, *, resample: bool
    ) -> Iterator[tuple[VolumeLabels, Mapping[int, str], tuple[str, ...]]]:
        """Yields the layers of a label map on the grid of the volume, each with the names and notes of its file."""
        from artasyn.files.ct import Grid, read_label_maps, resampled, same_grid

        here = Grid(self.hu, self.affine)
        for grid in read_label_maps(path):
            differs = same_grid(grid, here)
            if differs and not resample:
                raise DataError(
                    f"{path}: the labels are on another grid than the CT: {differs}; resample them to it, or let them "
                    "be resampled (--resample-labels, or resample=True in Python)"
                )
            there = resampled(grid, here) if differs else grid
            yield np.asarray(there.values), there.names, there.notes

    def without_table(self) -> Volume:
        """Returns the volume with everything outside the patient replaced by air.

        Raises:
            DataError: nothing in the volume is as dense as a body.
        """
        return dataclasses.replace(self, hu=np.where(find_body(self.hu, self.spacing), self.hu, np.int16(LOWEST)))

    def resampled(self, spacing: float) -> Volume:
        """Returns the volume with cubic voxels, as nearly as a whole number of voxels allows.

        Hounsfield units are means where voxels become larger and interpolated where they become smaller. A new voxel
        belongs to a structure that fills at least half of the voxel. A note names the structures without a voxel left.

        Args:
            spacing: size of a voxel, mm.

        Raises:
            DataError: the spacing is not a size, or the volume would be over the limit of voxels.
        """
        if not 0.1 <= spacing <= 100:
            raise DataError(f"a spacing of {spacing:g} mm, not from 0.1 to 100; choose a size of voxels in millimetres")
        from artasyn.segment.ct.resampling import resampled

        return resampled(self, spacing)

    def prolonged(self, up: float, down: float) -> Volume:
        """Returns the volume with its outermost slices repeated, so that rays at a film's margins stay in tissue.

        Only ``body`` goes on with the Hounsfield units. All other structures keep their ends. A note says what was
        added.

        Args:
            up: what is added at the head, mm.
            down: what is added at the feet, mm.
        """
        from artasyn.segment.ct.resampling import prolonged

        return prolonged(self, up, down)


def _named(path: Path, notes: Iterable[str]) -> tuple[str, ...]:
    """Returns notes that begin with the name of the file that they are about."""
    return tuple(f"{path.name}: {note}" for note in notes)


def _box(start: tuple[int, int, int], shape: tuple[int, ...]) -> tuple[slice, slice, slice]:
    """Returns the slices of a box in its volume."""
    z, y, x = (slice(s, s + n) for s, n in zip(start, shape, strict=True))
    return z, y, x


def _label_files(path: Path) -> Iterator[tuple[Path, str]]:
    """Yields the files of a label map or of a folder of masks, with the name of the structure if the file gives one."""
    if not path.is_dir():
        yield path, ""
        return
    from artasyn.files.ct import is_ct_file

    for file in sorted(path.iterdir()):
        if file.is_file() and is_ct_file(file) and not file.name.startswith("."):
            yield file, canonical(file.name.split(".")[0])


def _of_label_map(labels: VolumeLabels, names: Mapping[int, str], prefix: str = "") -> dict[str, Structure]:
    """Returns the structures of a label map; a single mask without names is called by the prefix."""
    found: dict[str, Structure] = {}
    boxes = {number: box for number, box in enumerate(ndimage.find_objects(labels), 1) if box is not None}
    for number, box in boxes.items():
        alone = prefix and len(boxes) == 1 and not names
        name = canonical(names[number]) if number in names else prefix if alone else f"{prefix or 'label'}_{number}"
        if name in found:
            raise DataError(f"two labels are called {name}; give every number a name of its own")
        z, y, x = box
        found[name] = Structure((z.start, y.start, x.start), labels[box] == number)
    return found
