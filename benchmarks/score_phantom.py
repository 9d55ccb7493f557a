"""Detection of phantom lesions that were never seen in training, over seeds: ``python -m benchmarks.score_phantom``.

Runs `artasyn demo` for each seed (about five minutes a seed on two cores) and keeps its figures and its duration.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.speed_stages import RESULTS, machine


def main() -> None:
    """Measures and writes the result."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, nargs="+", default=[0])
    options.add_argument("--work", type=Path, default=Path("artasyn-demo"), help="folder for the runs")
    options.add_argument("--out", type=Path, default=RESULTS / "phantom.json")
    given = options.parse_args()
    runs = []
    for seed in given.seeds:
        out = given.work / f"seed-{seed}"
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "artasyn", "demo", "--out", out, "--seed", str(seed)], check=True)
        metrics = json.loads((out / "evaluation" / "metrics.json").read_text())
        figures = {name: metrics[name] for name in ("detector", "lungs_prior")}
        runs.append({"seed": seed, "seconds": round(time.perf_counter() - start)} | figures)
    result = {"machine": machine(), "command": "artasyn demo --seed SEED", "runs": runs}
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(given.out)


if __name__ == "__main__":
    main()
