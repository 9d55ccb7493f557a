"""Runs the part of artasyn that needs numpy, OpenCV and SciPy alone: ``python tests/bare.py [--block]``.

The program finds lungs and makes an anomaly. With ``--block`` no other package can be imported. `.ci/run` runs the
program in an installation with these three packages only, in the oldest versions that setup.cfg allows.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

ALLOWED = {"artasyn", "numpy", "cv2", "scipy"}
"""Packages that may be imported beside the standard library."""


class Blocked(importlib.abc.MetaPathFinder):
    """Blocks the import of every package that is not allowed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Refuses modules that are not allowed, and leaves all others to the next finder."""
        top = name.partition(".")[0]
        if top not in ALLOWED and top not in sys.stdlib_module_names and not top.startswith("_"):
            raise ModuleNotFoundError(f"No module named {top!r} (blocked)", name=top)
        return None


def main() -> None:
    """Segments a phantom's radiograph and puts an anomaly into its lungs."""
    if "--block" in sys.argv[1:]:
        sys.meta_path.insert(0, Blocked())
    import numpy as np

    from artasyn import LungOpacity, PBTSeg, Phantom, segment, synthesis

    chest = Phantom(size=192)(seed=1)
    lungs = PBTSeg()(chest.image)
    assert lungs.found, lungs.reasons
    both = np.count_nonzero(lungs.mask & chest.lungs.mask)
    dice = 2 * both / (np.count_nonzero(lungs.mask) + np.count_nonzero(chest.lungs.mask))
    assert dice > 0.85, dice
    anomaly = LungOpacity()(chest.image, lungs, np.random.default_rng(0))
    assert anomaly.mask.any()
    assert ((anomaly.image != chest.image) == anomaly.mask).all()
    again = LungOpacity().render(chest.image, lungs, anomaly.record)
    assert (again.image == anomaly.image).all()
    assert {*segment.__all__, *synthesis.__all__} > {"PBTSeg", "Volume", "LungOpacity", "findings"}
    loaded = {name.partition(".")[0] for name in sys.modules}
    assert not loaded & {"torch", "lightning", "timm"}
    versions = f"numpy {np.__version__}, Python {sys.version.split()[0]}"
    sys.stdout.write(f"lungs found (Dice {dice:.3f}), an anomaly of {anomaly.mask.sum()} pixels made; {versions}\n")


if __name__ == "__main__":
    main()
