"""Prompts: the sentences of radiologists, read into records of the findings that they ask for and deny."""

from artasyn.synthesis.prompts.prompt import Prompt
from artasyn.synthesis.prompts.said import PromptAbsence, PromptFinding

__all__ = ["Prompt", "PromptAbsence", "PromptFinding"]
