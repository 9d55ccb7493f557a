"""The losses of the reconstruction network, each a pure function of tensors.

With x a radiograph with an anomaly, m its mask, y the normal radiograph, x' the reconstruction of x, E the
encoder and sg the stop-gradient:

    L = r * region_focused(x', y, m) + g * mean((x' - y)^2) + a * feature_alignment(E(x), sg(E(y)))
        + d * soft_dice(soft_mask(G * (x - x')), m) + h * discriminative(head(E(x), x, x'), m)
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from artasyn.shapes import Float
from artasyn.tensors import Features, Images, Masks

Scalar = Float[Tensor, ""]


def region_focused(reconstruction: Images, normal: Images, mask: Masks) -> Scalar:
    """Computes the squared error inside the anomaly, as a mean over the anomaly's own area.

    ``sum_i [sum(m_i * (x'_i - y_i)^2) / sum(m_i)] / n``, over the n images whose mask is not empty; 0 if all masks are
    empty.

    A small lesion weighs as much as a large one. The published term divides by the area of the image instead.

    Args:
        reconstruction: (b, 1, h, w).
        normal: (b, 1, h, w), the target.
        mask: (b, 1, h, w), 1 inside the anomaly, 0 outside.

    Source: ART-ASyn (arXiv 2512.00310), region-focused loss.

    Example:
        >>> one = torch.ones(1, 1, 4, 4)
        >>> mask = torch.zeros(1, 1, 4, 4); mask[..., 0, 0] = 1
        >>> region_focused(one, 0.5 * one, mask).item()
        0.25
    """
    area = mask.sum(dim=(1, 2, 3))
    error = (mask * (reconstruction - normal) ** 2).sum(dim=(1, 2, 3)) / area.clamp(min=1)
    return error.sum() / (area > 0).sum().clamp(min=1)


def feature_alignment(features: Features, normal_features: Features) -> Scalar:
    """Measures how far the features of the anomalous radiograph point away from those of the normal radiograph.

    ``1 - mean_p cos(E(x)_p, sg(E(y)_p))`` over the places p of the feature map. No gradient flows through the
    normal branch: with a gradient there, a constant encoder would be a solution.

    Args:
        features: (b, c, y, x), of the radiograph with the anomaly.
        normal_features: (b, c, y, x), of the normal radiograph.

    Returns:
        From 0 (aligned) to 2.

    Source: ART-ASyn (arXiv 2512.00310), feature-alignment loss; the stop-gradient is SimSiam's (Chen, He;
    CVPR 2021).

    Example:
        >>> a = torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1)
        >>> feature_alignment(a, a).item(), feature_alignment(a, a.flip(1)).item()
        (0.0, 1.0)
    """
    return 1 - F.cosine_similarity(features, normal_features.detach(), dim=1).mean()


def soft_mask(difference: Images, *, threshold: float = 0.03, temperature: float = 0.01) -> Masks:
    """Makes a differentiable mask from a difference of images.

    ``sigmoid((|d| - threshold) / temperature)``

    Args:
        difference: (b, 1, h, w), image minus reconstruction.
        threshold: the absolute difference where the mask is 0.5.
        temperature: how soft the step is.

    Example:
        >>> soft_mask(torch.tensor([[[[0.03, -0.03]]]])).tolist()
        [[[[0.5, 0.5]]]]
    """
    return torch.sigmoid((difference.abs() - threshold) / temperature)


def soft_dice(prediction: Masks, mask: Masks, *, smoothing: float = 1.0) -> Scalar:
    """Computes one minus the soft Dice coefficient of each image, averaged over the images.

    ``1 - (2 * sum(p * m) + s) / (sum(p) + sum(m) + s)``. Where the mask is empty, an empty prediction has the loss 0.

    Args:
        prediction: (b, 1, h, w) in [0, 1].
        mask: (b, 1, h, w), 0 or 1.
        smoothing: s, in pixels.

    Source: V-Net (Milletari, Navab, Ahmadi; 3DV 2016), with plain instead of squared sums.

    Example:
        >>> mask = torch.zeros(1, 1, 4, 4); mask[..., :2, :] = 1
        >>> soft_dice(mask, mask).item(), round(soft_dice(1 - mask, mask).item(), 3)
        (0.0, 0.941)
    """
    overlap = (prediction * mask).sum(dim=(1, 2, 3))
    total = prediction.sum(dim=(1, 2, 3)) + mask.sum(dim=(1, 2, 3))
    return (1 - (2 * overlap + smoothing) / (total + smoothing)).mean()


def discriminative(logits: Images, mask: Masks) -> Scalar:
    """Adds the mean binary cross-entropy of the pixels and half the soft Dice loss of the images.

    Args:
        logits: (b, 1, h, w), the output of the head.
        mask: (b, 1, h, w), 0 or 1.

    Example:
        >>> mask = torch.zeros(1, 1, 4, 4); mask[..., :2, :] = 1
        >>> discriminative(40 * mask - 20, mask).item() < 1e-6, discriminative(20 - 40 * mask, mask).item() > 20
        (True, True)
    """
    entropy = F.binary_cross_entropy_with_logits(logits, mask)
    return entropy + 0.5 * soft_dice(torch.sigmoid(logits), mask, smoothing=20.0)
