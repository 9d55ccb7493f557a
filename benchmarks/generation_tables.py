"""The table of `docs/generation.md` on the realism of opacities, with and without the residual flow."""

from __future__ import annotations

from typing import Any

from benchmarks.detection_tables import interval


def generation_realism(result: dict[str, Any]) -> list[str]:
    """How well synthetic opacities are told from real ones, and how far their features are apart."""
    rows = [
        "| patches | AUROC, boxed opacities | less LungOpacity alone | AUROC, drawn lesions | less LungOpacity alone "
        "| KID, boxed opacities |",
        "|---|---|---|---|---|---|",
    ]
    boxes, drawn = (result["discriminator"][name] for name in ("opacity_boxes", "lesions"))
    distance = result["kid"]["opacity_boxes"]
    floor = distance["real"]
    rows.append(f"| real opacities, halves | | | | | {_span(floor)} |")
    for name, one in boxes.items():
        other = drawn.get(name)
        told = [interval(one["auroc"]), _signed(one["less_base"])]
        told += [interval(other["auroc"]), _signed(other["less_base"])] if other else ["", ""]
        rows.append(f"| {name} | {' | '.join(told)} | {_span(distance[name])} |")
    return rows


def _signed(figure: dict[str, float]) -> str:
    return f"{figure['value']:+.3f} ({figure['low']:+.3f} to {figure['high']:+.3f})"


def _span(figure: dict[str, float]) -> str:
    return f"{figure['value']:.2f} ({figure['low']:.2f} to {figure['high']:.2f})"
