"""From a sentence to a film: prompts in a radiologist's words, soft masks in an anatomy, films on them, filters."""

from typing import TYPE_CHECKING

from artasyn.doors import later
from artasyn.synthesis.diffusion.film import FilmGenerator, ImaginedAnomaly
from artasyn.synthesis.diffusion.film_record import FilmRecord
from artasyn.synthesis.diffusion.imagined import Imagined
from artasyn.synthesis.diffusion.masks import MaskSampler, PathologyMask, PathologyMasks
from artasyn.synthesis.diffusion.record import PromptRecord
from artasyn.synthesis.prompts.prompt import Prompt
from artasyn.synthesis.prompts.said import PromptAbsence, PromptFinding

if TYPE_CHECKING:
    from artasyn.synthesis.diffusion.denoiser import Denoiser
    from artasyn.synthesis.diffusion.shapes import ShapeSampler

__all__ = [
    "Denoiser",
    "FilmGenerator",
    "FilmRecord",
    "Imagined",
    "ImaginedAnomaly",
    "MaskSampler",
    "PathologyMask",
    "PathologyMasks",
    "Prompt",
    "PromptAbsence",
    "PromptFinding",
    "PromptRecord",
    "ShapeSampler",
]

__getattr__ = later(
    __name__,
    {"Denoiser": "artasyn.synthesis.diffusion.denoiser", "ShapeSampler": "artasyn.synthesis.diffusion.shapes"},
)  # both need torch
