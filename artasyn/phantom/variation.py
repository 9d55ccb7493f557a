"""The variation of thoraces: draws one thorax of a population as plain numbers."""

from __future__ import annotations

import numpy as np

from artasyn.phantom.thorax import ThoraxRecord

# Mean, standard deviation, smallest and largest value of fields of `ThoraxRecord` that vary on their own.
_VARIATION = {
    "roll": (0.0, 1.2, -3.0, 3.0),
    "width": (125.0, 9.0, 102.0, 148.0),
    "height": (210.0, 18.0, 158.0, 245.0),
    "depth": (1.0, 0.09, 0.8, 1.28),
    "sulcus": (54.0, 9.0, 38.0, 76.0),
    "left_drop": (5.0, 9.0, -14.0, 26.0),
    "heart_left": (86.0, 10.0, 60.0, 112.0),
    "heart_right": (40.0, 6.0, 26.0, 56.0),
    "heart_rise": (78.0, 13.0, 48.0, 112.0),
    "heart_drop": (31.0, 8.0, 14.0, 52.0),
    "heart_apex": (0.72, 0.07, 0.52, 0.86),
    "heart_slope": (1.0, 0.2, 0.55, 1.6),
    "heart_lean": (0.0, 10.0, -22.0, 22.0),
    "knob": (38.0, 4.0, 28.0, 50.0),
    "wall": (24.0, 8.0, 11.0, 48.0),
    "waist": (0.0, 5.0, -10.0, 12.0),
    "shoulder": (5.0, 10.0, -14.0, 26.0),
    "middle_width": (1.0, 0.1, 0.8, 1.3),
    "apex_width": (1.01, 0.08, 0.84, 1.18),
    "dome_arch": (1.0, 0.18, 0.7, 1.45),
    "rib_slope": (1.0, 0.13, 0.7, 1.35),
    "bone": (1.0, 0.16, 0.55, 1.4),
    "vessel": (1.0, 0.12, 0.75, 1.3),
    "texture": (1.0, 0.25, 0.5, 1.6),
    "exposure": (0.45, 0.1, 0.28, 0.68),
    "contrast": (0.9, 0.14, 0.65, 1.25),
    "scatter": (0.09, 0.03, 0.03, 0.16),
    "noise": (0.016, 0.005, 0.006, 0.03),
}


def draw_thorax(rng: np.random.Generator, size: int) -> ThoraxRecord:
    """Draws one thorax without lesions: any age and habitus, with and without scoliosis and a large heart.

    Args:
        rng: the only source of randomness.
        size: rows and columns of the film in pixels.
    """
    seed, shift = int(rng.integers(2**31)), np.clip(rng.normal(0, (6, 5)), -12, 12)
    values = {}
    for name, (mean, deviation, low, high) in _VARIATION.items():
        values[name] = float(np.clip(rng.normal(mean, deviation), low, high))
    breasts, gas = rng.uniform() < 0.5, rng.uniform() < 0.75
    thick, low, wide = rng.uniform(12, 50), np.clip(rng.normal(28, 14), 0, 60), rng.uniform(16, 48)
    values |= _age(rng, values)
    values |= _heart(rng, values)
    values |= _habitus(rng, values)
    values |= _spine(rng)
    growth = values["growth"]
    return ThoraxRecord(
        size=size,
        seed=seed,
        field=max(float(np.clip(rng.normal(355, 15), 335, 400)), 2.35 * values["width"] + 40, values["height"] + 130),
        shift=(float(shift[0]), float(shift[1])),
        breast=float(thick) * bool(breasts and growth > 0.85),
        breast_z=values["height"] + float(low),
        bubble=float(wide) * bool(gas),
        lesions=(),
        **values,
    )


def _age(rng: np.random.Generator, values: dict[str, float]) -> dict[str, float]:
    """Returns the size and proportions of a child's or an old patient's thorax; most are adults.

    A child's thorax is round and short, with a high diaphragm, a wide heart and thin bones. An old patient's is deep
    and its mineral is low.
    """
    age, child = rng.uniform(), float(rng.uniform())
    if age < 0.15:
        young = 1 - child
        return {
            "growth": 0.45 + 0.5 * child,
            "width": values["width"] * (1 + 0.05 * young),
            "height": values["height"] * (1 - 0.22 * young),
            "depth": values["depth"] * (1 + 0.12 * young),
            "heart_left": values["heart_left"] * (1 + 0.1 * young),
            "heart_right": values["heart_right"] * (1 + 0.15 * young),
            "knob": values["knob"] * (1 - 0.2 * young),
            "bone": values["bone"] * (1 - 0.3 * young),
            "sulcus": values["sulcus"] * (1 - 0.2 * young),
        }
    if age > 0.75:
        return {
            "growth": float(np.clip(rng.normal(0.98, 0.05), 0.85, 1.1)),
            "depth": values["depth"] * (1 + 0.12 * child),
            "knob": values["knob"] * (1 + 0.15 * child),
            "bone": values["bone"] * (1 - 0.35 * child),
        }
    return {"growth": float(np.clip(rng.normal(1.0, 0.05), 0.88, 1.1))}


def _heart(rng: np.random.Generator, values: dict[str, float]) -> dict[str, float]:
    """Returns the extents of the heart; a quarter of the hearts are enlarged to either side, globular or long."""
    enlarged = float(rng.uniform(0.05, 0.4)) * bool(rng.uniform() < 0.25)
    sides = rng.uniform(0.4, 1.2, 2)
    left = values["heart_left"] * (1 + enlarged * sides[0])
    right = values["heart_right"] * (1 + enlarged * sides[1])
    most = 0.66 * 2 * values["width"] / (left + right)  # the lungs keep a place beside the heart
    part = min(most, 1.0)
    return {
        "heart_left": float(min(left * part, 0.87 * values["width"])),
        "heart_right": float(min(right * part, 0.55 * values["width"])),
        "heart_rise": values["heart_rise"] * (1 + 0.4 * enlarged),
        "heart_drop": values["heart_drop"] * (1 + 0.5 * enlarged),
    }


def _habitus(rng: np.random.Generator, values: dict[str, float]) -> dict[str, float]:
    """Returns the soft tissue and how far the diaphragm stands up: obese patients breathe in less; and the arms."""
    weight, pose = rng.uniform(), rng.uniform()
    arm = float(np.clip(rng.normal(10, 5), 1, 24))
    if pose > 0.8:
        arm = float(rng.uniform(24, 60) if pose < 0.9 else rng.uniform(120, 165))
    told = {"arm": arm, "belly": float(np.clip(rng.normal(5, 8), -10, 25))}
    if weight > 0.85:
        much = float(rng.uniform(0.2, 1.0))
        told |= {
            "wall": values["wall"] + 30 * much,
            "belly": 15 + 55 * much,
            "waist": values["waist"] + 16 * much,
            "height": values["height"] * (1 - 0.12 * much),
        }
    elif weight < 0.15:
        told |= {"wall": max(0.6 * values["wall"], 9.0), "belly": float(rng.uniform(-20, 0))}
    return told


def _spine(rng: np.random.Generator) -> dict[str, float]:
    """Returns the curves of the spine: mostly small ones, some a scoliosis with one or two curves."""
    span = float(rng.uniform(150, 320))
    cobb = abs(float(rng.normal(0, 4))) if rng.uniform() < 0.8 else float(rng.uniform(8, 48))
    height = np.tan(np.deg2rad(min(cobb, 50.0)) / 2) * span / np.pi  # a sine whose slopes differ by this angle
    return {
        "curve": float(height * rng.choice((-1.0, 1.0))),
        "curve_span": span,
        "curve_start": float(rng.uniform(10, 110)),
        "body_curve": float(rng.uniform(0.25, 0.6)),
        "kyphosis": float(np.clip(rng.normal(14, 10), -6, 48)),
    }
