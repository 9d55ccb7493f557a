"""The recipe that is stored beside every synthetic image; it remakes the image from the normal radiograph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from artasyn.arrays import Image, generator, identity
from artasyn.errors import SynthesisError
from artasyn.fields import Seed, Within, check_fields
from artasyn.records import read_record, record_text
from artasyn.segment import PBTSeg
from artasyn.synthesis import Anomaly, LungOpacity, OpacityRecord
from artasyn.synthesis.places import Found, Place
from artasyn.version import __version__


@dataclass(frozen=True)
class Recipe:
    """Describes how one synthetic image was made; the recipe remakes the image bit for bit.

    Attributes:
        identity: of the normal radiograph, from `artasyn.arrays.identity`.
        seed: the seed that the user gave.
        copy: which of the radiograph's synthetic images this is, from 1.
        segmenter: the segmenter that found the lungs, and finds them again; None where `lungs` holds them.
        record: the random choices and the tolerance.
        version: the version of artasyn that made the image.
        lungs: the lungs and the part of them that the anomaly lies in, as `artasyn.synthesis.places.Place.to_text`
            writes them; empty where the segmenter finds them.
    """

    identity: str
    seed: Seed
    copy: Annotated[int, Within(0, 2**31)]
    segmenter: PBTSeg | None
    record: OpacityRecord
    version: str = __version__
    lungs: str = ""

    def __post_init__(self) -> None:
        check_fields(self, SynthesisError)
        if (self.segmenter is None) != bool(self.lungs):
            raise SynthesisError("Recipe: either a segmenter finds the lungs, or the recipe holds them")

    @classmethod
    def draw(
        cls,
        image: Image,
        lungs: Found | Place,
        *,
        seed: int,
        copy: int,
        segmenter: PBTSeg | None,
        synthesis: LungOpacity,
    ) -> tuple[Recipe, Anomaly]:
        """Draws a new recipe for a radiograph whose lungs are known, and returns it with its anomaly.

        The random generator depends only on the seed, the radiograph's pixels and the copy. Lungs that PBTSeg did not
        find are stored in the recipe, so that neither a network nor a file is needed to remake the image.

        Args:
            image: the normal radiograph, float32 (h, w) in [0, 1].
            lungs: its lungs, its anatomy or its projection, or the place of the anomaly in them.
            seed: the seed that the user gave.
            copy: which of the radiograph's synthetic images this is, from 1.
            segmenter: found these lungs; None where they come from elsewhere.
            synthesis: makes the anomaly.
        """
        name, place = identity(image), synthesis.place(lungs)
        anomaly = synthesis(image, place, generator(seed, name, copy))
        stored = "" if segmenter else place.to_text()
        return cls(name, seed, copy, segmenter, anomaly.record, lungs=stored), anomaly

    def remake(self, image: Image) -> Anomaly:
        """Makes the anomaly again.

        Args:
            image: the normal radiograph, float32 (h, w) in [0, 1].

        Raises:
            SynthesisError: the image is another radiograph, or the stored lungs are damaged.
        """
        if identity(image) != self.identity:
            raise SynthesisError(f"this recipe is for the radiograph {self.identity}, not for {identity(image)}")
        record = self.record
        if self.segmenter:
            return LungOpacity().render(image, self.segmenter(image), record)
        place = Place.from_text(self.lungs, (image.shape[0], image.shape[1]), record.part, record.convention)
        return LungOpacity().render(image, place, record)

    def to_json(self) -> str:
        """Returns this recipe as JSON; `from_json` reads the JSON back."""
        return record_text(self)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Reads a recipe that `to_json` wrote.

        Raises:
            SynthesisError: the text is no recipe.
        """
        return read_record(text, cls, what="the recipe of a synthetic image", error=SynthesisError)
