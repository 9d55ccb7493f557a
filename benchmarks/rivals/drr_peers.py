"""Other programs that project a CT, to compare with: plastimatch's exact Siddon, DiffDRR's two renderers, and nanodrr.

Each program is a class. The constructor takes a volume and prepares everything that does not depend on the view. A call
takes a `Geometry` and a size. All classes return line integrals of the same rays, so that their images agree pixel by
pixel.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
RAYS, MASK_RAYS = 4096, 65536  # rays in one call of DiffDRR: the fastest numbers within 5 GB
WATER, BONE = 0.0192, 0.0573  # attenuation per mm at 0 and at 1000 HU


class Geometry(NamedTuple):
    """A source point and a flat detector, in RAS+ millimetres (the world of NIfTI).

    The centre of pixel (r, c) is at `corner + r * row + c * column`; `row` and `column` are perpendicular.
    """

    source: Floats
    corner: Floats
    row: Floats
    column: Floats

    def points(self, size: tuple[int, int]) -> npt.NDArray[np.float64]:
        """The pixels' centres (h, w, 3) of a detector of `size` (h, w)."""
        corner, row, column = (np.asarray(each, np.float64) for each in self[1:])
        rows, columns = (np.arange(length)[:, None] for length in size)
        points: npt.NDArray[np.float64] = corner + (rows * row)[:, None] + (columns * column)[None]
        return points


def attenuation(hounsfield: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Attenuation per mm of a CT in HU: linear through 0 at -1000, water at 0 and bone at 1000, not below 0."""
    units = hounsfield.astype(np.float32)
    above = np.where(units > 0, BONE - WATER, WATER)
    return np.maximum(WATER + above * units / 1000, 0).astype(np.float32)


class Plastimatch:
    """`plastimatch drr`, the exact algorithm: the length of the ray in each voxel times the voxel's value.

    Args:
        volume: attenuation per mm (x, y, z); voxels are boxes, and the attenuation outside is 0.
        affine: from voxels to RAS+ millimetres, of any orientation but without shear.
        threads: threads of the renderer, or None for all cores.

    Attributes:
        seconds: render time of the last image as plastimatch reports it. The time excludes the start of the program and
            the reading of the volume, which both happen for each image; it includes the writing of the image.
    """

    def __init__(self, volume: Floats, affine: Floats, threads: int | None = None) -> None:
        self._program = _plastimatch()
        self._environment = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
        self.seconds = float("nan")
        affine = np.asarray(affine, np.float64)
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        self._axes, self._origin = affine[:3, :3] / spacing, affine[:3, 3]
        if not np.allclose(self._axes.T @ self._axes, np.eye(3), atol=1e-4):
            raise ValueError("the volume's axes are not perpendicular: plastimatch has no shear")
        self._folder = tempfile.TemporaryDirectory(prefix="plastimatch-")
        self._volume = Path(self._folder.name) / "volume.mha"
        header = {
            "ObjectType": "Image",
            "NDims": 3,
            "BinaryData": True,
            "BinaryDataByteOrderMSB": False,
            "TransformMatrix": "1 0 0 0 1 0 0 0 1",
            "Offset": "0 0 0",
            "ElementSpacing": _numbers(spacing),
            "DimSize": " ".join(map(str, volume.shape)),
            "ElementType": "MET_FLOAT",
            "ElementDataFile": "LOCAL",
        }
        with self._volume.open("wb") as file:
            file.write("".join(f"{key} = {value}\n" for key, value in header.items()).encode())
            file.write((np.float32(10) * np.asarray(volume, "<f4")).tobytes(order="F"))  # it counts lengths in cm

    def __call__(self, geometry: Geometry, size: tuple[int, int]) -> npt.NDArray[np.float32]:
        """The line integrals (h, w) of a detector of `size` (h, w)."""
        # the volume's own axes are used throughout, so that the file needs neither orientation nor offset
        source, corner = ((np.asarray(each, np.float64) - self._origin) @ self._axes for each in geometry[:2])
        row, column = (np.asarray(each, np.float64) @ self._axes for each in geometry[2:])
        pitch = np.array([np.linalg.norm(row), np.linalg.norm(column)])
        across, down = column / pitch[1], row / pitch[0]
        normal = np.cross(across, down)
        normal *= np.sign((source - corner) @ normal)  # from the detector to the source
        middle = np.array([(source - corner) @ down, (source - corner) @ across]) / pitch
        mirrored = np.cross(normal, -down) @ across > 0  # plastimatch's columns run along vup x normal
        if mirrored:
            middle[1] = size[1] - 1 - middle[1]
        distance = (source - corner) @ normal
        isocentre = source - normal * distance / 2
        prefix = Path(self._folder.name) / "image"
        options = {  # sizes and places on the detector are columns first, unlike the program's help says
            "--algorithm": "exact",
            "--threading": "cpu",
            "--hu-conversion": "none",
            "--output-format": "raw",
            "--nrm": _numbers(normal),
            "--vup": _numbers(-down),
            "--sad": _numbers([distance / 2]),
            "--sid": _numbers([distance]),
            "--isocenter": _numbers(isocentre),
            "--dim": f"{size[1]} {size[0]}",
            "--detector-size": _numbers((pitch * size)[::-1]),
            "--image-center": _numbers(middle[::-1]),
            "--input": str(self._volume),
            "--output": str(prefix),
        }
        command = [self._program, "drr", *(word for option in options.items() for word in option)]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)
        written = prefix.with_name(prefix.name + "0000.raw")
        if done.returncode or not written.exists():
            raise RuntimeError(f"plastimatch failed: {done.stdout[-500:]} {done.stderr[-500:]}")
        self.seconds = float(re.findall(r"Total time: (\S+) secs", done.stdout)[-1])
        image: npt.NDArray[np.float32] = np.fromfile(written, np.float32).reshape(size)
        written.unlink()
        return np.fliplr(image) if mirrored else image


class DiffDRR:
    """DiffDRR's renderers: trilinear samples at even steps, or the exact algorithm (Siddon).

    The class passes the rays' end points to DiffDRR, not a pose. DiffDRR would compute the end points from a pose, and
    this time should not count.

    Args:
        volume: attenuation per mm (x, y, z), 0 outside; 1 everywhere makes masks of thickness in mm.
        affine: from voxels to RAS+ millimetres.
        labels: the structure of each voxel, 0 for none; None if there are none to project.
        renderer: `trilinear` or `siddon`.
        samples: steps along a ray, between the entry of the first and the exit of the last ray (trilinear).
    """

    def __init__(
        self,
        volume: Floats,
        affine: Floats,
        labels: npt.NDArray[np.integer[Any]] | None = None,
        renderer: str = "trilinear",
        samples: int = 500,
    ) -> None:
        self._torch, torchio, drr = (_peer(name) for name in ("torch", "torchio", "diffdrr.drr"))
        self._options: dict[str, Any] = {"n_points": samples} if renderer == "trilinear" else {}
        tensor = self._torch.from_numpy(np.asfortranarray(volume, np.float32))[None]
        image = torchio.ScalarImage(tensor=tensor, affine=np.asarray(affine, np.float64))
        mask = None
        if labels is not None:
            tensor = self._torch.from_numpy(np.asfortranarray(labels, np.int16))[None]
            mask = torchio.LabelMap(tensor=tensor, affine=image.affine)
        # DiffDRR's `read` would replace the values by a density between 0 and 1 and move the volume's middle to 0
        subject = torchio.Subject(volume=image, density=image, mask=mask, reorient=self._torch.eye(4))
        self._drr = drr.DRR(subject, sdd=1.0, height=2, delx=1.0, renderer=renderer)

    def __call__(self, geometry: Geometry, size: tuple[int, int]) -> npt.NDArray[np.float32]:
        """The line integrals (h, w) of a detector of `size` (h, w)."""
        image: npt.NDArray[np.float32] = self._render(geometry, size, RAYS, False)[0]
        return image

    def masks(self, geometry: Geometry, size: tuple[int, int]) -> npt.NDArray[np.float32]:
        """The line integrals (labels, h, w) within each label, from 0 (no structure) to the largest."""
        return self._render(geometry, size, MASK_RAYS, True)

    def _render(self, geometry: Geometry, size: tuple[int, int], rays: int, masks: bool) -> npt.NDArray[np.float32]:
        ends = self._torch.from_numpy(geometry.points(size).reshape(1, -1, 3).astype(np.float32))
        source = self._torch.from_numpy(np.asarray(geometry.source, np.float32).reshape(1, 1, 3))
        with self._torch.inference_mode():
            parts = [
                self._drr.render(self._drr.density, source, some, masks, **self._options)
                for some in ends.split(rays, dim=1)
            ]
            image: npt.NDArray[np.float32] = self._torch.cat(parts, -1)[0].numpy().reshape(-1, *size)
        return image


class NanoDRR:
    """nanodrr's renderer in torch, the one for processors: trilinear samples at even steps within the volume.

    The class passes the rays' end points, as `DiffDRR` does.

    Args:
        volume: attenuation per mm (x, y, z), 0 outside.
        affine: from voxels to RAS+ millimetres.
        labels: the structure of each voxel, 0 for none; None if there are none to project.
        samples: steps along a ray.
    """

    def __init__(
        self,
        volume: Floats,
        affine: Floats,
        labels: npt.NDArray[np.integer[Any]] | None = None,
        samples: int = 500,
    ) -> None:
        self._torch, torchio, data = (_peer(name) for name in ("torch", "torchio", "nanodrr.data"))
        self._render = _peer("nanodrr.drr.renderer").render
        self._samples = samples
        affine = np.asarray(affine, np.float64)
        tensor = self._torch.from_numpy(np.asfortranarray(volume, np.float32))[None]
        image = torchio.ScalarImage(tensor=tensor, affine=affine)
        self._plain = data.Subject.from_images(image, max_label=0, convert_to_mu=False)
        self._labelled = None
        if labels is not None:
            tensor = self._torch.from_numpy(np.asfortranarray(labels, np.int16))[None]
            mask = torchio.LabelMap(tensor=tensor, affine=affine)
            self._labelled = data.Subject.from_images(image, mask, convert_to_mu=False)

    def __call__(self, geometry: Geometry, size: tuple[int, int]) -> npt.NDArray[np.float32]:
        """The line integrals (h, w) of a detector of `size` (h, w)."""
        image: npt.NDArray[np.float32] = self._rendered(self._plain, geometry, size)[0]
        return image

    def masks(self, geometry: Geometry, size: tuple[int, int]) -> npt.NDArray[np.float32]:
        """The line integrals (labels, h, w) within each label, from 0 (no structure) to the largest."""
        return self._rendered(self._labelled, geometry, size)

    def _rendered(self, subject: Any, geometry: Geometry, size: tuple[int, int]) -> npt.NDArray[np.float32]:
        torch = self._torch
        ends = torch.from_numpy(geometry.points(size).reshape(1, -1, 3).astype(np.float32))
        source = torch.from_numpy(np.asarray(geometry.source, np.float32).reshape(1, 1, 3))
        world = torch.eye(4)[None]
        with torch.inference_mode():
            parts = [
                self._render(
                    subject, None, world, None, 1, some.shape[1], self._samples, src=source, tgt=some, backend="torch"
                )
                for some in ends.split(RAYS, dim=1)
            ]
            image: npt.NDArray[np.float32] = torch.cat(parts, -1)[0].numpy().reshape(-1, *size)
        return image


def _plastimatch() -> str:
    """The path of the plastimatch program, from the Python package or the system."""
    try:
        package = _peer("plastimatch")
    except ImportError:
        found = shutil.which("plastimatch")
        if found is None:
            raise
        return found
    return str(Path(str(package.__file__)).with_name("bin") / "plastimatch")


def _numbers(values: Any) -> str:
    """Numbers as plastimatch reads them: between spaces."""
    return " ".join(f"{value:.9g}" for value in values)


def _peer(name: str) -> ModuleType:
    """Imports a package that only the comparisons need."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f'{name} is needed for this comparison: pip install ".[peers]"') from error
