"""Work on a cluster: the bytes of one process, workers that die, and clusters that are not there."""

from __future__ import annotations

import importlib
import os
import pickle
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from artasyn.bulk import clusters
from artasyn.bulk.clusters import Backend, Cluster
from artasyn.bulk.run import BulkRun, Outcome, Row
from artasyn.bulk.sources import Source
from artasyn.cli.main import main
from artasyn.errors import DataError, MissingExtra
from artasyn.files.radiograph import write_image
from artasyn.phantom.film import Phantom
from artasyn.version import __version__
from tests.bulk.test_survival import COLUMNS, Fatal, leave, sources_in
from tests.conftest import ROOT
from tests.dask_here import local_dask
from tests.trees import tree

Clustered = tuple[Backend, str]
"""The kind of a cluster, and its address."""


@dataclass(frozen=True)
class Once:
    """Kills its process, but only the first time."""

    mark: Path

    def __call__(self) -> None:
        try:
            self.mark.touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


def done(out: Path, sources: list[Source], work: Fatal | None = None, backend: Backend = "loky") -> list[Outcome]:
    """The outcomes of a run on a few small files."""
    bulk = BulkRun(out, {}, COLUMNS, ("file",), 2, backend=backend)
    return bulk.run(work or Fatal(out, {}), sources, title="x")


def check_deaths(tmp_path: Path, backend: Backend, count: int, deadly: dict[str, Callable[[], None]]) -> None:
    """A worker that dies once costs nothing; a source that always kills fails alone."""
    out, alone = tmp_path / "out", tmp_path / "alone"
    sources = sources_in(tmp_path / "films", count)
    outcomes = done(out, sources, Fatal(out, deadly), backend)
    guilty = [name for name, death in deadly.items() if death is leave]
    reasons = {outcome.source.name: outcome.reason for outcome in outcomes if outcome.reason}
    assert [*reasons] == guilty
    assert f"{guilty[0]}.png killed the reader (exit status 3)" in reasons[guilty[0]]
    done(alone, sources, Fatal(alone, dict.fromkeys(guilty, leave)))
    assert tree(out) == tree(alone)


@contextmanager
def here(backend: Backend) -> Iterator[Cluster]:
    """A cluster of processes of this machine, each for one job."""
    from joblib.externals.loky.process_executor import ProcessPoolExecutor, TerminatedWorkerError

    def submit(*call: Any) -> Future[Any]:
        pool = ProcessPoolExecutor(1)
        future: Future[Any] = pool.submit(*call)
        future.add_done_callback(lambda _: pool.shutdown(wait=False))
        return future

    yield Cluster(
        f"{backend} here",
        submit,
        lambda futures: wait(futures, return_when="FIRST_COMPLETED").done,
        lambda future: future.result(),
        lambda: 1,
        (TerminatedWorkerError,),
    )


def test_a_source_that_kills_its_workers_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "joined", here)
    check_deaths(tmp_path, "dask", 3, {"1": leave})


@dataclass(frozen=True)
class Wrong(Fatal):
    """Work with a bug."""

    def __call__(self, source: Source) -> list[Row]:
        raise ZeroDivisionError(source.name)


def test_a_bug_in_the_work_and_a_cluster_that_cannot_work_stop_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "joined", here)
    with pytest.raises(ZeroDivisionError):
        done(tmp_path / "out", sources_in(tmp_path / "films", 2), Wrong(tmp_path / "out", {}), "dask")
    monkeypatch.setattr(clusters, "answer", abs)
    with pytest.raises(DataError, match=r"dask here does not work \(TypeError: .*check that it runs, and that artasyn"):
        done(tmp_path / "out", sources_in(tmp_path / "films", 2), backend="dask")


def test_workers_that_share_neither_folders_nor_version_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = __version__
    for share, told in (
        (("0.0", tmp_path), f"has artasyn {version}, not 0.0; install the same version"),
        ((version, tmp_path / "far"), "does not see .*far; the machines must share the folders"),
    ):
        error = pickle.loads(clusters.answer(share, b""))[1]
        assert isinstance(error, DataError)
        assert re.search(told, str(error))


@pytest.mark.parametrize(("backend", "package"), [("dask", "distributed"), ("ray", "ray")])
def test_a_cluster_needs_its_package_and_its_address(
    backend: Backend, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"pip install artasyn\[{backend}\]"):
        done(tmp_path / "out", sources_in(tmp_path / "films", 3), backend=backend)
    monkeypatch.setitem(sys.modules, package, sys)
    monkeypatch.delenv(clusters.ADDRESSES[backend], raising=False)
    with pytest.raises(DataError, match=f"{clusters.ADDRESSES[backend]} is not set; set it to the address"):
        done(tmp_path / "out", sources_in(tmp_path / "films", 3), backend=backend)


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clustered]:
    """A scheduler and two worker processes on this machine."""
    pytest.importorskip("distributed", reason="needs pip install artasyn[dask]")
    with local_dask(tmp_path_factory.mktemp("dask"), os.environ) as address:
        yield "dask", address


@pytest.fixture(scope="module")
def ray() -> Iterator[Clustered]:
    """Two processes of Ray on this machine."""
    pytest.importorskip("ray", reason="needs pip install artasyn[ray]")
    command = [str(Path(sys.executable).with_name("ray"))]
    about = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"}
    started = [*command, "start", "--head", "--port=0", "--num-cpus=2", "--include-dashboard=false"]
    shown = subprocess.run(started, env=about, check=True, capture_output=True, text=True).stdout
    yield "ray", shown.split("--address='")[1].split("'")[0]
    subprocess.run([*command, "stop", "--force"], env=about, check=True, capture_output=True)


def use(cluster: Clustered, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """Puts the address of a cluster into the environment."""
    backend, address = cluster
    monkeypatch.setenv(clusters.ADDRESSES[backend], address)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    return backend


def check_command(backend: Backend, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A command on a cluster writes the bytes of one process."""
    for number in range(6):
        write_image(tmp_path / "films" / f"{number}.png", Phantom(size=96)(number).image)
    (tmp_path / "films" / "bad.png").write_bytes(b"no film")
    for kind in ([], ["--format=shards", "--samples-per-shard=2"]):
        given = ["synthesise", str(tmp_path / "films"), *kind]
        one, many = tmp_path / f"one{len(kind)}", tmp_path / f"many{len(kind)}"
        assert main([*given, "--workers=1", f"--out={one}"]) == 1
        assert main([*given, "--backend", backend, f"--out={many}"]) == 1
        assert f"{backend} at " in capsys.readouterr().err
        assert tree(one) == tree(many)


@pytest.mark.extras
def test_dask_gives_the_bytes_of_one_process(
    dask: Clustered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check_command(use(dask, monkeypatch), tmp_path, capsys)


@pytest.mark.extras
def test_dask_loses_nothing_when_a_worker_is_killed(
    dask: Clustered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = Once(tmp_path / "mark")
    check_deaths(tmp_path, use(dask, monkeypatch), 30, {"4": once, "20": leave})
    assert once.mark.exists()


@pytest.mark.extras
def test_no_dask_at_an_address_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="needs pip install artasyn[dask]")
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "1s")
    importlib.import_module("dask").config.refresh()
    backend = use(("dask", "tcp://127.0.0.1:9"), monkeypatch)
    with pytest.raises(DataError, match=r"no dask scheduler answers at tcp://127.0.0.1:9 .*check DASK_SCHED"):
        done(tmp_path / "out", sources_in(tmp_path / "films", 3), backend=backend)


@pytest.mark.extras
def test_ray_gives_the_bytes_of_one_process(
    ray: Clustered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check_command(use(ray, monkeypatch), tmp_path, capsys)


@pytest.mark.extras
def test_ray_loses_nothing_when_a_worker_is_killed(
    ray: Clustered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = Once(tmp_path / "mark")
    check_deaths(tmp_path, use(ray, monkeypatch), 30, {"4": once, "20": leave})
    assert once.mark.exists()
