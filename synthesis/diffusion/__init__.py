"""From a sentence to a film: prompts in a radiologist's words, soft masks in an anatomy, films on them, filters."""

from artasyn.synthesis.diffusion.film import FilmGenerator, ImaginedAnomaly
from artasyn.synthesis.diffusion.film_record import FilmRecord
from artasyn.synthesis.diffusion.imagined import Imagined
from artasyn.synthesis.diffusion.masks import MaskSampler, PathologyMask, PathologyMasks
from artasyn.synthesis.diffusion.record import PromptRecord
from artasyn.synthesis.prompts.prompt import Prompt
from artasyn.synthesis.prompts.said import PromptAbsence, PromptFinding

__all__ = [
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
]
