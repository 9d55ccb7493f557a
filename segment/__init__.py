"""Segmentation of the lungs on radiographs, and radiographs with anatomy masks from CT."""

from artasyn.segment.anatomy.anatomy import Anatomy
from artasyn.segment.anatomy.net import AnatomyNet
from artasyn.segment.ct.lesion import CTLesion, insert_lesion
from artasyn.segment.ct.volume import Structure, Volume
from artasyn.segment.lungs import Lungs
from artasyn.segment.measures.measures import Measures, measure
from artasyn.segment.pbtseg.pbtseg import PBTSeg
from artasyn.segment.projection.pair import Pair
from artasyn.segment.projection.projection import Projection, project
from artasyn.segment.projection.quality import Quality, check_projection, check_volume
from artasyn.segment.projection.randomisation import DomainRandomisation, Film, ProjectionRecord
from artasyn.segment.projection.view import View

__all__ = [
    "Anatomy",
    "AnatomyNet",
    "CTLesion",
    "DomainRandomisation",
    "Film",
    "Lungs",
    "Measures",
    "PBTSeg",
    "Pair",
    "Projection",
    "ProjectionRecord",
    "Quality",
    "Structure",
    "View",
    "Volume",
    "check_projection",
    "check_volume",
    "insert_lesion",
    "measure",
    "project",
]
