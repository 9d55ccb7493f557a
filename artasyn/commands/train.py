"""The command that trains a detector."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from artasyn.bulk.run import Outcome, read_manifest
from artasyn.bulk.sources import available_cores, find_sources
from artasyn.commands.shared import Done
from artasyn.training.run import TrainingRun


def train(
    normal: Sequence[Path],
    out: Path,
    *,
    training: TrainingRun = TrainingRun(),
    trainer: dict[str, Any] | None = None,
    workers: int = 0,
) -> Done:
    """Trains a detector on normal radiographs alone, with synthetic anomalies made on the fly.

    Writes to OUT: model/ (config.json and model.safetensors, for `artasyn detect --model OUT/model`), checkpoints/
    (last.ckpt, best.ckpt; checkpoints-1/ and so on where several trainings are averaged), logs/ (CSV and TensorBoard),
    cache/ (prepared radiographs; manifest.csv lists those left out, with reasons), settings.json. A training that was
    killed goes on there.

    Args:
        normal: normal radiographs (PNG, JPEG, TIFF, DICOM) and folders of them, which are walked recursively.
        out: the folder to write to.
        training: what the result depends on.
        trainer: further options of lightning.Trainer, as '{"devices": 2, "strategy": "ddp"}'.
        workers: processes that prepare and synthesise; 0 takes every core.
    """
    sources = find_sources(normal)
    training.fit(sources, out, workers=workers or available_cores(), trainer=trainer)
    manifest = out / "cache" / "manifest.csv"
    reasons = {row["name"]: row["reason"] for row in read_manifest(manifest)}
    return Done((out / "model", manifest), tuple(Outcome(s, reason=reasons[s.name]) for s in sources))
