"""The tables of the page about scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

NAMES = {"synthesise": "synthesise, to shards", "segment": "segment", "detect": "detect"}
"""The commands as the tables call them."""


def _stages(result: Mapping[str, Any], ending: str = "") -> dict[str, Any]:
    """Returns the figures of the commands that were measured, by name."""
    return {name: of for name in NAMES if (of := result["stages"].get(f"{name}{ending}"))}


def _row(title: str, stages: Mapping[str, Any], cell: Callable[[Any], str]) -> str:
    return f"| {title} | {' | '.join(cell(of) for of in stages.values())} |"


def _header(title: str, stages: Sequence[str] | Mapping[str, Any]) -> list[str]:
    return [f"| {title} | {' | '.join(NAMES[name] for name in stages)} |", f"|---|{len(stages) * '---|'}"]


def _numbers(values: Sequence[float], digits: int = 0) -> str:
    return ", ".join(f"{value:,.{digits}f}" for value in values)


def commands(result: dict[str, Any]) -> list[str]:
    """Time, memory and files of every command."""
    stages = _stages(result)

    def places(who: str) -> Callable[[Any], str]:
        return lambda of: _numbers([each[f"{who}_mb"] for each in of["memory"]["at"].values()])

    def size(key: str) -> Callable[[Any], str]:
        return lambda of: f"{of[f'{key}_bytes'] / 1e6:,.1f}" if f"{key}_bytes" in of else "-"

    def grown(of: Any) -> str:
        growth = of["memory"]["growth_mb_per_100000"]
        return f"{growth['main']:,.0f}, {growth['workers']:,.0f}"

    def tenths(of: Any) -> str:
        rates = of["films_per_second_by_tenth"]
        return _numbers([rates[0], rates[4], rates[-1]])

    return [
        *_header(f"{result['size']} px, {result['workers']} workers", stages),
        _row("films", stages, lambda of: f"{of['films']:,}"),
        _row("minutes", stages, lambda of: f"{of['seconds'] / 60:.1f}"),
        _row("films a second, over all", stages, lambda of: f"{of['films_per_second']:.0f}"),
        _row("films a second in the first, fifth and last tenth", stages, tenths),
        _row("seconds until the films are listed", stages, lambda of: f"{of['seconds_until_ready']:.1f}"),
        _row("seconds until the first result", stages, lambda of: f"{of['seconds_until_first']:.1f}"),
        _row("seconds after the last result", stages, lambda of: f"{of['seconds_after_last']:.1f}"),
        _row("main process at 10, 50 and 100 %, MB", stages, places("main")),
        _row("workers at 10, 50 and 100 %, MB", stages, places("workers")),
        _row("growth of main process and workers, MB per 100,000 films", stages, grown),
        _row("main process at most, MB", stages, lambda of: f"{of['memory']['most_main_mb']:,.0f}"),
        _row("files", stages, lambda of: f"{of['files']:,}"),
        _row("all files, GB", stages, lambda of: f"{of['bytes'] / 1e9:,.2f}"),
        _row("manifest.csv, MB", stages, size("manifest")),
        _row("journal, MB", stages, size("journal")),
        _row("annotations.json, MB", stages, size("annotations")),
        _row("report.html, MB", stages, size("report")),
    ]


def kills(result: dict[str, Any]) -> list[str]:
    """What kills cost, and whether the files are the same in the end."""
    stages = _stages(result, ", killed")

    def resumed(key: str) -> Callable[[Any], str]:
        def cell(of: Any) -> str:
            runs = [(run["films_before"], run[key]) for run in of["runs"] if run[key] is not None]
            if not runs:
                return "-"
            (few, first), (many, last) = min(runs), max(runs)
            return f"{first:.1f} with {few:,} done, {last:.1f} with {many:,} done"

        return cell

    return [
        *_header("killed with all workers, and started again", stages),
        _row("kills", stages, lambda of: f"{of['kills']}"),
        _row("files compared", stages, lambda of: f"{of['files_compared']:,}"),
        _row("files that differ", stages, lambda of: f"{of['files_that_differ']:,}"),
        _row("seconds until a run knows what is left", stages, resumed("seconds_until_ready")),
        _row("seconds until its first new result", stages, resumed("seconds_until_first")),
        _row("seconds beyond the run that nobody killed", stages, lambda of: f"{of['seconds_beyond_undisturbed']:.0f}"),
    ]


def trouble(result: dict[str, Any]) -> list[str]:
    """What commands in trouble say and leave."""
    rows = [
        "| trouble | exit status | the last line | files damaged, temporary | afterwards |",
        "|---|---|---|---|---|",
    ]
    for name, of in result["stages"].get("trouble", {}).items():
        same = "the same bytes" if of["same_bytes_afterwards"] else "other bytes"
        rows.append(
            f"| {name} | {of['status']} | {of['said'].removeprefix('artasyn: ')} | {of['damaged']}, {of['temporary']} "
            f"| {of['status_afterwards']}, {same} |"
        )
    return rows


def names(result: dict[str, Any]) -> list[str]:
    """Seconds and memory by the number of names."""
    parts = {
        "listing": ("listing", ("listing",)),
        "start of a finished run": ("resume", ("listing", "run", "notes")),
        "merge of 8 portions": ("merge", ("listing", "merge")),
    }
    rows = [f"| names | {' | '.join(f'{part}: s, MB' for part in parts)} |", f"|---|{len(parts) * '---|'}"]
    for count, of in result["stages"].get("names", {}).items():
        cells = []
        for part, steps in parts.values():
            seconds = sum(of[part][f"{step}_s"] for step in steps)
            most = max(of[part][f"{step}_peak_mb"] for step in steps) - of[part]["start_mb"]
            cells.append(f"{seconds:,.1f}, {most:,.0f}")
        rows.append(f"| {int(count):,} | {' | '.join(cells)} |")
    each = result["paper"].get("names")
    if each:
        cells = [f"{each[f'{part}_us']:.0f} µs, {each[f'{part}_bytes']:,.0f} B" for part, _ in parts.values()]
        rows.append(f"| one more | {' | '.join(cells)} |")
    return rows


def paper(result: dict[str, Any]) -> list[str]:
    """The costs of ten million films."""
    found = result["paper"]
    stages = found["commands"]
    first = next(iter(stages.values()))
    rows = [
        *_header(f"{found['films']:,} films, on paper", stages),
        _row("files", stages, lambda of: f"{of['files']:,}"),
        _row("all files, TB", stages, lambda of: f"{of['bytes'] / 1e12:.1f}"),
        _row("manifest.csv, GB", stages, lambda of: f"{of['manifest_bytes'] / 1e9:.1f}"),
        _row("journal, GB", stages, lambda of: f"{of['journal_bytes'] / 1e9:.1f}"),
    ]
    for count in first["hours"]:
        hours = {name: of["hours"][count] for name, of in stages.items()}
        machines = f"{count} machine{'s' * (count != '1')} of {result['workers']} workers"
        rows.append(_row(f"hours on {machines}", hours, lambda each: f"{each:,.1f}"))
    rows.append(_row("hours of these at the end, on one core", stages, lambda of: f"{of['end_hours']:,.1f}"))
    if each := found.get("names"):
        empty = " |" * (len(stages) - 1)
        told = {
            "listing_gb": "memory of the listing, GB",
            "portion_of_100_gb": "memory of one of 100 portions, GB",
            "resume_gb": "memory of a whole run, GB",
            "merge_gb": "memory of artasyn merge, GB",
        }
        rows += [f"| {title} | {each[key]:.0f} |{empty}" for key, title in told.items()]
        rows += [f"| minutes of the listing | {each['listing_s'] / 60:.0f} |{empty}"]
        rows += [f"| minutes until a finished run has seen that it is finished | {each['resume_s'] / 60:.0f} |{empty}"]
    return rows
