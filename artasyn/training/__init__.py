"""How a detector is learnt from normal radiographs and synthetic anomalies."""

from typing import TYPE_CHECKING

from artasyn.doors import later

if TYPE_CHECKING:
    from artasyn.training.data import NormalsData
    from artasyn.training.module import LossWeights, ReconstructionTraining
    from artasyn.training.normals import Normals
    from artasyn.training.run import TrainingRun
    from artasyn.training.samples import SyntheticAnomalies

__all__ = [
    "LossWeights",
    "Normals",
    "NormalsData",
    "ReconstructionTraining",
    "SyntheticAnomalies",
    "TrainingRun",
]

__getattr__ = later(
    __name__,
    {
        "LossWeights": "artasyn.training.module",
        "Normals": "artasyn.training.normals",
        "NormalsData": "artasyn.training.data",
        "ReconstructionTraining": "artasyn.training.module",
        "SyntheticAnomalies": "artasyn.training.samples",
        "TrainingRun": "artasyn.training.run",
    },
)
