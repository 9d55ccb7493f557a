"""What ten million films would cost, from the figures of fewer, and the curves of a run over many films."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.scale_names import PORTIONS

FILMS = 10_000_000
"""The films of the collection on paper."""

MACHINES = (1, 10, 100)
"""Numbers of machines, each with one portion."""

COUNTED = {"files": "files", "bytes": "bytes", "manifest_bytes": "manifest.csv", "journal_bytes": "journal"}
"""What grows with the films, in the figures of a command."""


def on_paper(stages: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the costs of `FILMS` films.

    Times and sizes grow in proportion to the films. What names cost is the difference of two numbers of names.

    Args:
        stages: the figures of `benchmarks.scale`.
    """
    found: dict[str, Any] = {"films": FILMS, "commands": {}}
    names = _names(stages.get("names", {}))
    for name in ("synthesise", "segment", "detect"):
        if name in stages:
            found["commands"][name] = _command(stages[name], names)
    return found | ({"names": names} if names else {})


def _command(figures: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the costs of one command."""
    films = figures["films"]
    times = FILMS / films
    found: dict[str, Any] = {key: round(figures[key] * times) for key in COUNTED if key in figures}
    found["files"] = round((figures["files"] - figures["sheets"]) * times) + figures["sheets"]
    found["bytes"] = round((figures["bytes"] - figures["sheet_bytes"]) * times) + figures["sheet_bytes"]
    grows = figures["seconds_after_last"] - figures["sheet_seconds"]  # the sheets do not grow
    found["end_hours"] = round((grows * times + figures["sheet_seconds"]) / 3600, 2)
    working = FILMS / figures["films_per_second_working"] / 3600
    extra = (names.get("listing_s", 0.0) + names.get("merge_s", 0.0)) / 3600
    found["hours"] = {
        str(each): round(
            working / each + found["end_hours"] + (extra if each > 1 else names.get("listing_s", 0) / 3600), 2
        )
        for each in MACHINES
    }
    return found


def _names(sizes: Mapping[str, Any]) -> dict[str, float]:
    """Returns seconds and memory of `FILMS` names, and bytes and microseconds of one."""
    if len(sizes) < 2:
        return {}
    least, most = (sizes[each] for each in sorted(sizes, key=int)[:: len(sizes) - 1])
    more = max(map(int, sizes)) - min(map(int, sizes))

    def grows(part: str, key: str) -> float:
        return float(most[part][key] - least[part][key]) / more

    listing = grows("listing", "listing_peak_mb")
    portion = grows("merge", "portion_peak_mb")
    each = {
        "listing_us": 1e6 * grows("listing", "listing_s"),
        "resume_us": 1e6 * sum(grows("resume", f"{key}_s") for key in ("listing", "run", "notes")),
        "merge_us": 1e6 * (grows("merge", "merge_s") + grows("merge", "listing_s")),
        "listing_bytes": 1e6 * listing,
        "resume_bytes": 1e6 * max(grows("resume", f"{key}_peak_mb") for key in ("run", "notes")),
        "merge_bytes": 1e6 * grows("merge", "merge_peak_mb"),
        "journal_bytes": grows("resume", "journal_bytes"),
        "manifest_bytes": grows("resume", "manifest_bytes"),
    }
    own = max(0.0, PORTIONS * (portion - listing))
    gigabytes = {
        f"portion_of_{count}_gb": round(FILMS * (listing + own / count) / 1e3, 1) for count in MACHINES if count > 1
    }
    return (
        {key: round(value, 1) for key, value in each.items()}
        | {f"{key}_s": round(FILMS * each[f"{key}_us"] / 1e6) for key in ("listing", "resume", "merge")}
        | {f"{key}_gb": round(FILMS * each[f"{key}_bytes"] / 1e9, 1) for key in ("listing", "resume", "merge")}
        | gigabytes
    )


def curves(result: Mapping[str, Any], out: Path) -> None:
    """Draws films a second and memory by films done.

    Args:
        result: of `benchmarks.scale`.
        out: a PNG.
    """
    import matplotlib.pyplot as plt

    figure, (rate, memory) = plt.subplots(1, 2, figsize=(10, 3.6))
    colours = {"synthesise": "#0072b2", "segment": "#009e73", "detect": "#d55e00"}
    for name, colour in colours.items():
        curve = result["stages"].get(name, {}).get("curve")
        if not curve:
            continue
        done = [point["films"] for point in curve]
        rate.plot(done, [point["films_per_second"] for point in curve], color=colour, label=name)
        memory.plot(done, [point["main_mb"] for point in curve], color=colour, label=f"{name}, main process")
        memory.plot(done, [point["workers_mb"] for point in curve], "--", color=colour, label=f"{name}, workers")
    for axis, label in ((rate, "films a second"), (memory, "memory, MB (PSS)")):
        axis.set_xlabel("films done")
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
        axis.ticklabel_format(axis="x", style="plain")
        axis.grid(alpha=0.3)
        if axis.lines:
            axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(out, dpi=110, metadata={"Software": None})
    plt.close(figure)
