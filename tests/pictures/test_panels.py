"""Panels side by side: as many as there should be, each what its overlay shows."""

from __future__ import annotations

import numpy as np

from artasyn.pictures.overlays import grey_picture, overlay_heatmap, overlay_mask
from artasyn.pictures.panels import detection_panels, truth_panel

IMAGE = np.linspace(0.1, 0.9, 64 * 48, dtype=np.float32).reshape(64, 48)
HEATMAP = (IMAGE - np.float32(0.1)) / np.float32(2)
MASK = np.zeros((64, 48), bool)
MASK[20:40, 10:30] = True


def test_three_panels_stand_side_by_side() -> None:
    panels = detection_panels(IMAGE, HEATMAP, MASK, top=0.4)
    grey, evidence, marked = np.split(panels, 3, axis=1)
    np.testing.assert_array_equal(grey, grey_picture(IMAGE))
    np.testing.assert_array_equal(evidence, overlay_heatmap(IMAGE, HEATMAP, top=0.4))
    np.testing.assert_array_equal(marked, overlay_mask(IMAGE, MASK))


def test_large_radiographs_become_small_panels() -> None:
    large = np.kron(IMAGE, np.ones((16, 16), np.float32))
    panels = detection_panels(large, large, large > 0.5, top=1.0)
    assert panels.shape == (256, 3 * 192, 3)
    assert truth_panel(large, large > 0.5, None).shape == (256, 192, 3)


def test_the_truth_shows_lesions_and_boxes_and_nothing_where_nothing_is_known() -> None:
    plain = grey_picture(IMAGE)
    np.testing.assert_array_equal(truth_panel(IMAGE, None, None), plain)
    tinted = (truth_panel(IMAGE, MASK, None) != plain).any(axis=2)
    assert tinted[MASK].all()
    outlined = (truth_panel(IMAGE, None, MASK) != plain).any(axis=2)
    assert outlined.any()
    assert not outlined[26:34, 16:24].any()  # a box is not tinted
