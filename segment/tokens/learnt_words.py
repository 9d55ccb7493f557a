"""Words that were learnt from a few films: what a writer of masks is given to know them, small enough to pass on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from artasyn.errors import DataError, ModelError
from artasyn.fields import STATED, Count, Within, check_fields, shown
from artasyn.networks.metadata import settings_of
from artasyn.networks.stored import PACKAGE, ModelKind, digest_of, save_model
from artasyn.segment.anatomy.window import STRIDE
from artasyn.segment.tokens.words import structure_named

MOST_WORDS = 64
"""Most words that one set of learnt words may hold."""


@dataclass(frozen=True)
class LearntSettings:
    """Holds what learnt words belong to, and what they are called.

    Attributes:
        kind: always ``tokens_adapter``; it tells this model from others.
        base: digest of the writer that learnt them.
        names: the words, as structures.
        films: number of films that each was learnt from.
        shallow: channels of the features that they see.

    Raises:
        ModelError: a number is out of range, or a word stands twice, is malformed, or is one of the vocabulary's.
    """

    kind: Literal["tokens_adapter"] = field(default="tokens_adapter", metadata=STATED)
    base: str = ""
    names: Annotated[tuple[str, ...], Count(1, MOST_WORDS)] = ("new_word",)
    films: Annotated[tuple[Annotated[int, Within(1, 1_000_000)], ...], Count(1, MOST_WORDS)] = (1,)
    shallow: Annotated[int, Within(8, 2048)] = 64

    def __post_init__(self) -> None:
        check_fields(self, ModelError)
        if len(set(self.names)) < len(self.names) or len(self.names) != len(self.films):
            raise ModelError(f"LearntSettings: {len(self.films)} numbers of films for the words {shown(self.names)}")
        for name in self.names:
            try:
                own = structure_named(name)
            except DataError as error:
                raise ModelError(f"LearntSettings: {error}") from error
            if own != name:
                raise ModelError(f"LearntSettings: the word {shown(name)} must be written {shown(own)}")

    @classmethod
    def of(cls, values: Any, place: str) -> LearntSettings:
        """Makes settings from the values that JSON holds.

        Args:
            values: the settings by their names.
            place: where the values stand, for the message.

        Raises:
            ModelError: a setting is unknown, or its value is of another type or out of range.
        """
        return settings_of(cls, values, place)


LEARNT_WORDS = ModelKind(
    noun="learnt words",
    settings=LearntSettings,
    bundled=PACKAGE / "learnt_words",
    command="TokenSegmenter.save_adapter",
    from_onnx="nothing: no ONNX file of learnt words can be loaded",
    place="",
)
"""Learnt words among the stored models; none come with artasyn."""


class LearntWords(nn.Module):
    """The linear layers by which learnt words make their maps of the anatomy network's features.

    Args:
        settings: the words.
    """

    def __init__(self, settings: LearntSettings = LearntSettings()) -> None:
        super().__init__()
        self.settings = settings
        count = len(settings.names)
        self.words = nn.Parameter(torch.zeros(count, STRIDE**2, settings.shallow))
        self.levels = nn.Parameter(torch.zeros(count, STRIDE**2))

    @classmethod
    def of(cls, settings: LearntSettings, words: Tensor, levels: Tensor) -> LearntWords:
        """Holds weights, rounded to half precision, as they are stored.

        Args:
            settings: the words.
            words: (words, 4, channels).
            levels: (words, 4).
        """
        learnt = cls(settings)
        learnt.load_state_dict({"words": words.detach().half().float(), "levels": levels.detach().half().float()})
        return learnt.eval()

    def joined(self, others: LearntWords) -> LearntWords:
        """Returns these words and others in one.

        Args:
            others: words of the same base.

        Raises:
            ModelError: the two belong to different writers, or share a word.
        """
        one, two = self.settings, others.settings
        if (one.base, one.shallow) != (two.base, two.shallow):
            raise ModelError(f"these words belong to another writer ({two.base}, not {one.base})")
        if twice := sorted({*one.names} & {*two.names}):
            raise ModelError(f"the word {shown(twice[0])} is learnt already; take one of the two")
        settings = LearntSettings(
            base=one.base, names=one.names + two.names, films=one.films + two.films, shallow=one.shallow
        )
        return self.of(settings, torch.cat([self.words, others.words]), torch.cat([self.levels, others.levels]))

    @property
    def digest(self) -> str:
        """A string that tells two sets of words apart: a hash over all weights and all settings."""
        return digest_of(self.state_dict(), self.settings)

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes ``config.json`` and ``model.safetensors`` in half precision: both or none.

        Args:
            folder: the folder to write to; it is created if it is missing.
        """
        save_model(Path(folder), self.state_dict(), self.settings)

    @classmethod
    def from_pretrained(cls, model: str | Path, **options: Any) -> LearntWords:
        """Loads learnt words.

        Args:
            model: a folder that `save_pretrained` wrote, or the id of a model on the Hugging Face hub.
            **options: options of `huggingface_hub.hf_hub_download`.

        Raises:
            ModelError: there is no such model, or its files are damaged or of another kind.
        """
        return LEARNT_WORDS.load(cls, model, options)
