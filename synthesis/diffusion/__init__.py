"""From a sentence to a film: what is asked for in a radiologist's words, as records of findings and places."""

from artasyn.synthesis.diffusion.prompt import Prompt
from artasyn.synthesis.diffusion.said import PromptAbsence, PromptFinding

__all__ = ["Prompt", "PromptAbsence", "PromptFinding"]
