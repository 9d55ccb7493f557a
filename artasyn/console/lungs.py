"""Who finds the lungs of the radiographs of a command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from artasyn.bulk.sources import Source
from artasyn.errors import DataError
from artasyn.segment import PBTSeg
from artasyn.segment.anatomy.segmenters import AnatomyReader, LungsBy, NotFound
from artasyn.testsets.measured import FilmLungs
from artasyn.testsets.names import with_lungs


@dataclass(frozen=True)
class LungOptions:
    """Who finds the lungs.

    Attributes:
        lungs: pbtseg finds them by rising thresholds, without training, in milliseconds; anatomy reads them with the
            network that reads structures, which also tells lung in dense disease; given takes lungs that you have.
        lungs_dir: the folder of the lungs that are given: for each radiograph a picture of its name, with labels (0, 1
            the patient's right lung, 2 the left) or a mask of both lungs. A radiograph without one is refused.
        lungs_model: the network for anatomy: bundled, or the folder that `artasyn train-anatomy` wrote as OUT/model.

    Raises:
        DataError: lungs are given without a folder, or a folder without lungs that are given.
    """

    lungs: LungsBy = "pbtseg"
    lungs_dir: Path | None = None
    lungs_model: str = "bundled"

    def __post_init__(self) -> None:
        if (self.lungs == "given") != (self.lungs_dir is not None):
            raise DataError(
                "lungs_dir holds lungs that are given: use --lungs given --lungs-dir FOLDER, or neither of them"
            )

    def sources(self, sources: Sequence[Source]) -> Sequence[Source]:
        """Returns the radiographs with the files of their lungs, where these are given."""
        return sources if self.lungs_dir is None else with_lungs(sources, self.lungs_dir)

    def finder(self, pbtseg: PBTSeg = PBTSeg()) -> FilmLungs:
        """Returns what finds or reads the lungs; a network stays the one that lies there now.

        Args:
            pbtseg: the segmenter for pbtseg.

        Raises:
            ModelError: there is no such network.
        """
        if self.lungs == "pbtseg":
            return FilmLungs(pbtseg)
        return FilmLungs(AnatomyReader(self.lungs_model).pinned() if self.lungs == "anatomy" else NotFound())


def described(lungs: FilmLungs) -> dict[str, str]:
    """Returns the settings of a run that tell who found the lungs; none for PBTSeg, whose options are settings."""
    return {} if isinstance(lungs.segmenter, PBTSeg) else {"lungs": repr(lungs.segmenter)}
