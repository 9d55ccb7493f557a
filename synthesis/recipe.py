"""What is stored beside every synthetic image: enough to make it again from the normal radiograph, bit for bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from artasyn.arrays import Image, generator, identity
from artasyn.errors import SynthesisError
from artasyn.records import read_record, record_text
from artasyn.segment import Lungs, PBTSeg
from artasyn.synthesis import Anomaly, LungOpacity, OpacityRecord
from artasyn.version import __version__


@dataclass(frozen=True)
class Recipe:
    """How one synthetic image was made.

    Attributes:
        identity: of the normal radiograph.
        seed: the user's.
        copy: which of the radiograph's synthetic images this is, from 1.
        segmenter: found the lungs.
        record: all that was drawn, and the tolerance.
        version: of artasyn that made it.
    """

    identity: str
    seed: int
    copy: int
    segmenter: PBTSeg
    record: OpacityRecord
    version: str = __version__

    @classmethod
    def draw(
        cls, image: Image, lungs: Lungs, *, seed: int, copy: int, segmenter: PBTSeg, synthesis: LungOpacity
    ) -> tuple[Recipe, Anomaly]:
        """A new recipe for a radiograph whose lungs are known, and the anomaly it makes.

        The anomaly depends on the seed, the radiograph's pixels and the copy alone.
        """
        name = identity(image)
        anomaly = synthesis(image, lungs, generator(seed, name, copy))
        return cls(name, seed, copy, segmenter, anomaly.record), anomaly

    def remake(self, image: Image) -> Anomaly:
        """Makes the anomaly again.

        Args:
            image: the normal radiograph, float32 (h, w) in [0, 1].

        Raises:
            SynthesisError: it is another radiograph.
        """
        if identity(image) != self.identity:
            raise SynthesisError(f"this recipe is for the radiograph {self.identity}, not for {identity(image)}")
        return LungOpacity().render(image, self.segmenter(image), self.record)

    def to_json(self) -> str:
        """This recipe as JSON; `from_json` reads it back."""
        return record_text(self)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Reads what `to_json` wrote.

        Raises:
            SynthesisError: the text is no recipe.
        """

        def build(fields: dict[str, Any]) -> Recipe:
            parts = {"segmenter": PBTSeg(**fields["segmenter"]), "record": OpacityRecord.from_dict(fields["record"])}
            return cls(**fields | parts)

        return read_record(text, build, what="the recipe of a synthetic image", error=SynthesisError)
