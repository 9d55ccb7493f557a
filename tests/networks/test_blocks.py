"""Small parts of decoders: features on other grids, and their gradients."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from artasyn.networks.blocks import enlarged


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("before", "after"), [((5, 4), (10, 8)), ((1, 1), (2, 2)), ((5, 4), (9, 8)), ((4, 4), (4, 4))])
def test_features_on_other_grids_have_the_values_and_gradients_of_bilinear_interpolation(
    before: tuple[int, int], after: tuple[int, int], layout: torch.memory_format
) -> None:
    random = torch.Generator().manual_seed(0)
    features = torch.rand(2, 3, *before, generator=random, dtype=torch.float64).to(memory_format=layout)
    weights = torch.rand(2, 3, *after, generator=random, dtype=torch.float64)
    ours, plain = features.clone().requires_grad_(), features.clone().requires_grad_()
    found = enlarged(ours, weights)
    expected = F.interpolate(plain, after, mode="bilinear", align_corners=False)
    assert torch.equal(found, expected)
    assert torch.equal(enlarged(features, weights), expected)
    torch.autograd.backward((found * weights).sum())
    torch.autograd.backward((expected * weights).sum())
    assert ours.grad is not None
    assert plain.grad is not None
    assert torch.allclose(ours.grad, plain.grad, atol=1e-12)
