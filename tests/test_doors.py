"""The doors: the names that artasyn promises, and the pages, which go through doors alone."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

DOORS = {
    "artasyn": "Anomaly ArtasynError BatchLungOpacity Detection Detector Image LungLabels LungOpacity Lungs Mask "
    "OpacityRecord PBTSeg Phantom Radiograph __version__ open_radiograph read_radiograph write_image write_mask",
    "artasyn.evaluation": "Evaluation Interval Metrics anatomy_prior",
    "artasyn.segment": "Anatomy AnatomyNet CTLesion DomainRandomisation Film Lungs Measures PBTSeg Pair Projection "
    "ProjectionRecord Quality Structure View Volume check_projection check_volume insert_lesion measure project",
    "artasyn.segment.tokens": "Answer MaskCodec MaskDecoder MaskEncoder MaskTokens PaliGemmaWriter Request "
    "TokenSegmenter join_answers parse_answers",
    "artasyn.synthesis": "Anomalies Anomaly BatchLungOpacity FINDINGS Finding Lesion Look LungOpacity LungVolume "
    "OpacityRecord Recipe VolumeChange VolumeRecord findings",
    "artasyn.synthesis.diffusion": "Denoiser FilmGenerator FilmRecord Imagined ImaginedAnomaly MaskSampler "
    "PathologyMask PathologyMasks Prompt PromptAbsence PromptFinding PromptRecord ShapeSampler",
    "artasyn.synthesis.prompts": "Prompt PromptAbsence PromptFinding",
    "artasyn.testsets": "LAYOUTS Layout TestFilm TestSet find",
    "artasyn.training": "LossWeights Normals NormalsData ReconstructionTraining SyntheticAnomalies TrainingRun",
    "artasyn.transforms": "AnatomyNetd LungOpacityTransform LungOpacityd OpacityDataset PBTSegd RandomBatchLungOpacity "
    "RandomLungOpacity",
}
"""The public names of every door. A name that goes, or comes, is a decision: it is changed here too."""


@pytest.mark.parametrize("door", DOORS)
def test_the_public_names_are_these(door: str) -> None:
    assert sorted(importlib.import_module(door).__all__) == DOORS[door].split()


@pytest.mark.parametrize(
    "page", ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]
)
def test_examples_go_through_doors(page: str) -> None:
    around = []
    for block in re.findall(r"```python\n(.*?)```", Path(ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "artasyn":
                names = DOORS.get(node.module or "", "").split()
                around += [f"{node.module}.{alias.name}" for alias in node.names if alias.name not in names]
            elif isinstance(node, ast.Import):
                around += [alias.name for alias in node.names if alias.name.startswith("artasyn.")]
    assert not around


def test_every_public_source_of_randomness_may_be_a_seed() -> None:
    found, wrong = set(), []
    for door, names in DOORS.items():
        for name in names.split():
            kind = getattr(importlib.import_module(door), name)
            for method, function in inspect.getmembers(kind, callable) if inspect.isclass(kind) else []:
                public = not method.startswith("_") or method == "__call__"
                if public and str(getattr(function, "__module__", "")).startswith("artasyn"):
                    rng = inspect.signature(function).parameters.get("rng")
                    if rng is not None:
                        found.add(f"{name}.{method}")
                        wrong += [f"{name}.{method}"] if rng.annotation != "Rng" else []
    assert {"LungOpacity.__call__", "BatchLungOpacity.forward", "CTLesion.draw"} <= found
    assert not wrong
