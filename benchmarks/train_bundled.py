"""Trains a detector by the present recipe: ``python -m benchmarks.train_bundled --data DIR --out DIR``.

DIR is the folder of development sets. Films of the patients that the tests use are left out (see
`benchmarks.development`). The training takes about an hour on two cores. artasyn/model does not hold its result: this
recipe drew poorer masks than the first round's, whose network `benchmarks.refit_bundled` completed (see
artasyn/model/README.md).
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from artasyn.training.run import TrainingRun
from benchmarks.development import training_normals

RUN = TrainingRun(encoder="efficientnet_lite0", levels=4, size=128, epochs=14, averaged=2, batch_size=16,
                  learning_rate=2e-3, pretrained=True)  # fmt: skip
"""The recipe."""


def main() -> None:
    """Trains the detector, or resumes a killed run."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True, help="the folder of development sets")
    options.add_argument("--out", type=Path, default=Path("bundled"), help="folder for the training")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--workers", type=int, default=1)
    given = options.parse_args()
    run = dataclasses.replace(RUN, seed=given.seed)
    run.fit(training_normals(given.data), given.out, workers=given.workers)
    print(given.out / "model")


if __name__ == "__main__":
    main()
