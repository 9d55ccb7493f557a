"""The commands of the command line, by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_type_hints

if TYPE_CHECKING:
    from artasyn.console.results import Done

COMMANDS = {
    "demo": "the whole chain on phantoms, no data needed, five to ten minutes",
    "segment": "find the lungs",
    "anatomy": "read structures at any angle, and measure them",
    "tokens": "ask in words for masks, boxes, names and views",
    "synthesise": "make anomalies with exact masks on normal radiographs",
    "imagine": "make films from sentences, with exact masks and filters",
    "project": "make radiographs with anatomy masks from CT, at any angle",
    "stock": "project phantoms and CTs as a stock, from which training composes films",
    "train": "train a detector on normal radiographs",
    "train-anatomy": "train a reader of anatomy on projections alone",
    "calibrate": "fit a trained detector to the healthy radiographs of another hospital",
    "detect": "look for anomalies with a trained detector",
    "evaluate": "measure a detector on a test set",
    "merge": "join the portions of a run, after --portion on several machines or jobs",
    "serve": "show a page in the browser: films, synthetic twins, projected CTs",
    "export": "write a trained detector as one ONNX file, which runs without torch",
}
"""The name of each command with a summary. The command's module and function have the same name, with ``_`` for a
hyphen."""

MODELS = frozenset({"train", "train-anatomy", "calibrate", "export"})
"""The commands of the room `artasyn.commands.models`."""


def module_of(command: str) -> str:
    """Returns the name of the module of a command."""
    room = "artasyn.commands.models" if command in MODELS else "artasyn.commands"
    return f"{room}.{command.replace('-', '_')}"


def command_function(name: str) -> tuple[Callable[[Any], Done], Any]:
    """Returns the function of a command and the dataclass of its options.

    The module of the command is imported only now, because some modules take seconds to import.
    """
    module = importlib.import_module(module_of(name))
    function: Callable[[Any], Done] = getattr(module, name.replace("-", "_"))
    return function, get_type_hints(function)["options"]
