"""The masks of named structures on radiographs as files: a picture for each, one file with all, or run lengths."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from artasyn.arrays import Mask
from artasyn.bulk.run import Row
from artasyn.files import atomic
from artasyn.files.radiograph import write_mask
from artasyn.outputs.coco import outlined, write_coco
from artasyn.records import parse_json
from artasyn.shapes import UInt8

Output = Literal["png", "npz", "coco"]
"""A format of masks."""

MASK_FILES = ("masks", "npz", "annotations")
"""The columns of a manifest that name a file with masks; the first is a folder."""


@dataclass(frozen=True)
class MaskFiles:
    """Writes the masks of radiographs.

    Attributes:
        out: the folder of results.
        wanted: the names of the masks.
        outputs: the formats.
    """

    out: Path
    wanted: tuple[str, ...]
    outputs: frozenset[Output]

    def write(
        self, name: str, grid: tuple[int, int], angle: float, mask: Callable[[str], Mask], sure: Callable[[str], float]
    ) -> Row:
        """Writes the masks of one radiograph in every format, with one of them in memory at a time.

        Args:
            name: of the radiograph.
            grid: rows and columns of the radiograph.
            angle: turn of the patient about the body's axis, degrees.
            mask: returns the mask of a name; an empty one has no picture.
            sure: returns the confidence of a name, in [0, 1].

        Returns:
            The values of `MASK_FILES` for the manifest, and the number of ``structures`` whose mask is not empty.
        """
        row: Row = {}
        packed = np.zeros((-(-len(self.wanted) // 8), *grid), np.uint8)
        described, there = [], 0
        if "png" in self.outputs:
            row["masks"] = f"masks/{name}"
            (self.out / row["masks"]).mkdir(parents=True, exist_ok=True)
        for place, structure in enumerate(self.wanted):
            found = mask(structure)
            if not found.any():
                continue
            there += 1
            packed[place // 8] |= found.astype(np.uint8) << (7 - place % 8)
            if "png" in self.outputs:
                write_mask(self.out / row["masks"] / f"{structure}.png", found)
            if "coco" in self.outputs:
                described += outlined({structure: found})
        if "npz" in self.outputs:
            row["npz"] = f"npz/{name}.npz"
            atomic.write_bytes(self.out / row["npz"], self._npz(packed, angle, [sure(each) for each in self.wanted]))
        if "coco" in self.outputs:
            row["annotations"] = f"annotations/{name}.json"
            atomic.write_text(self.out / row["annotations"], json.dumps(described) + "\n")
        return row | {"structures": there}

    def collect(self, rows: Sequence[tuple[Path, Row]]) -> tuple[Path, ...]:
        """Writes the masks of the whole collection as one COCO file, where this format is wanted.

        Args:
            rows: the path of every radiograph, and its row of the manifest, with its ``width`` and ``height``.

        Returns:
            The file; nothing where there is none, and then an older one is deleted.
        """
        path = self.out / "annotations.json"
        if not ("coco" in self.outputs and rows):
            path.unlink(missing_ok=True)
            return ()
        images = (
            {"file_name": str(source), "width": int(row["width"]), "height": int(row["height"])} for source, row in rows
        )
        described = (parse_json((self.out / row["annotations"]).read_text("utf-8")) for _, row in rows)
        write_coco(path, self.wanted, images, described, of="structure")
        return (path,)

    def _npz(self, packed: UInt8[np.ndarray, "bytes h w"], angle: float, sure: Iterable[float]) -> bytes:
        """Returns the file with all masks."""
        buffer = io.BytesIO()
        confidence, names = np.array(list(sure), np.float32), np.array(self.wanted)
        np.savez_compressed(buffer, masks=packed, names=names, confidence=confidence, angle=np.float32(angle))
        return buffer.getvalue()
