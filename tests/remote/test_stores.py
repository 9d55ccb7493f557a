"""A real server of S3 on this machine, real commands, and a wire between both that fails where it is told to."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from artasyn.files.radiograph import write_image
from artasyn.phantom.film import Phantom
from tests.chest import chest, write_chest, write_names
from tests.conftest import ROOT
from tests.dask_here import local_dask
from tests.trees import tree

pytestmark = pytest.mark.extras

SERVER = """
import time
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("%s:%s" % server.get_host_and_port(), flush=True)
time.sleep(3600)
"""

SIGNED = "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
"""A signature, whose absence the server minds, but not its value."""

NAMES = ("a.png", "b.png", "c/a.png", "c/d.png", "e", "notes.txt")
"""A collection: a film without suffix and a file that is no film are among the objects."""

TOLD = {".journal.jsonl", "manifest.csv", "passed_over.csv"}
"""Files that name the places of the films."""


@dataclass
class Wire:
    """Passes requests on to the server, unless one is to fail.

    Attributes:
        server: host and port of the server.
        answer: returns the status that the server seems to answer a request with, 0 to say nothing and hang up, or
            None to pass the request on.
        seen: the requests, each as method and path.
    """

    server: str
    answer: Callable[[str, str], int | None] = lambda method, path: None
    seen: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        wire = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self) -> None:
                data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                wire.seen.append(f"{self.command} {self.path}")
                status, headers, body = wire.reply(self.command, self.path, dict(self.headers), data)
                if not status:
                    self.close_connection = True
                    return
                self.send_response(status)
                length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
                for name, value in headers.items():
                    if name.lower() not in ("content-length", "connection", "transfer-encoding", "server", "date"):
                        self.send_header(name, value)
                self.send_header("Content-Length", length)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = pass_on  # noqa: N815 (names of the library)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """The address for clients."""
        return "http://{}:{}".format(*self.http.server_address[:2])

    def reply(self, method: str, path: str, headers: dict[str, str], data: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the answer."""
        told = self.answer(method, path)
        if told is not None:
            return told, {"Content-Type": "application/xml"}, b""
        return ask(f"http://{self.server}{path}", method, data if method in ("PUT", "POST") else None, headers)


def ask(
    url: str, method: str = "GET", data: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer."""
    headers = {"Content-Type": "application/octet-stream", "Authorization": SIGNED} | (headers or {})
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as found:
            return found.status, dict(found.headers), found.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


@dataclass(frozen=True)
class Bucket:
    """A bucket on the server, by requests of HTTP alone."""

    server: str
    name: str

    def put(self, key: str, data: bytes) -> None:
        """Writes an object."""
        assert ask(f"http://{self.server}/{self.name}/{key}", "PUT", data)[0] == 200

    def delete(self, key: str) -> None:
        """Deletes an object."""
        assert ask(f"http://{self.server}/{self.name}/{key}", "DELETE")[0] == 204

    def tree(self, folder: str) -> dict[str, bytes]:
        """The objects below a folder, by their names in it."""
        listing = ask(f"http://{self.server}/{self.name}?list-type=2&prefix={folder}/")[2].decode()
        keys = re.findall(r"<Key>(.*?)</Key>", listing)
        found = {key.removeprefix(f"{folder}/"): ask(f"http://{self.server}/{self.name}/{key}") for key in keys}
        assert all(status == 200 for status, _, _ in found.values())
        return {name: data for name, (_, _, data) in found.items()}

    def begun(self) -> list[str]:
        """Uploads in parts that nobody has finished."""
        return re.findall(r"<UploadId>", ask(f"http://{self.server}/{self.name}?uploads")[2].decode())


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Host and port of a server of S3 in a process of its own."""
    pytest.importorskip("s3fs", reason="needs pip install artasyn[cloud]")
    pytest.importorskip("moto", reason="needs pip install moto[server]")
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SERVER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    with process, process.stdout:
        yield process.stdout.readline().strip()
        process.kill()


@pytest.fixture
def bucket(server: str, request: pytest.FixtureRequest) -> Bucket:
    """A bucket with a collection in ``films``."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:50].strip("-")
    assert ask(f"http://{server}/{name}", "PUT", b"")[0] == 200
    return Bucket(server, name)


@pytest.fixture
def films(tmp_path: Path, bucket: Bucket) -> Path:
    """The collection, in the bucket and on disk."""
    for number, name in enumerate(NAMES):
        path = tmp_path / "films" / name
        write_image(path.with_name(f"{path.name}.png"), Phantom(size=96)(number).image)
        path.with_name(f"{path.name}.png").rename(path)
        if name.endswith("txt"):
            path.write_text("no film")
        bucket.put(f"films/{name}", path.read_bytes())
    return tmp_path / "films"


@dataclass(frozen=True)
class Commands:
    """Runs commands in processes of their own, as on one machine.

    Attributes:
        url: of the server.
        place: the folder to run in, with the cache.
    """

    url: str
    place: Path

    def environment(self, **about: str) -> dict[str, str]:
        """The environment of a command, with further variables; an empty one is left out."""
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
            "ARTASYN_CACHE": str(self.place / "cache"),
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.place),
        } | about
        return {name: value for name, value in environment.items() if value}

    def start(self, *arguments: object, **about: str) -> subprocess.Popen[str]:
        """Starts a command."""
        self.place.mkdir(exist_ok=True)
        return subprocess.Popen(
            [sys.executable, "-m", "artasyn", *map(str, arguments)],
            cwd=self.place, env=self.environment(**about), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *arguments: object, **about: str) -> tuple[int, str, str]:
        """Runs a command; its exit status, stdout and stderr."""
        process = self.start(*arguments, **about)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err


def check_alike(bucket: Bucket, folder: str, here: Path) -> None:
    """The objects are the files that a command on this machine wrote, but for the places of the films."""
    there, local = bucket.tree(folder), tree(here)
    assert there.keys() == local.keys()
    assert {n: there[n] for n in there.keys() - TOLD} == {n: local[n] for n in local.keys() - TOLD}
    films, url = str(here.parent / "films").encode(), f"s3://{bucket.name}/films".encode()
    for name in there.keys() & (TOLD - {".journal.jsonl"}):
        assert there[name] == local[name].replace(films, url)


def test_films_and_results_at_urls_have_the_bytes_of_a_run_on_disk(
    server: str, bucket: Bucket, films: Path, tmp_path: Path
) -> None:
    here = Commands(f"http://{server}", tmp_path / "machine")
    options = ("--per-image", 2, "--format", "shards", "--samples-per-shard", 4, "--workers", 2, "--seed", 3)
    url = f"s3://{bucket.name}/made"
    status, out, err = here.run("synthesise", f"s3://{bucket.name}/films", "--out", url, *options)
    assert (status, out.splitlines()[-1]) == (0, f"{url}/manifest.csv"), err
    assert str(tmp_path) not in out + err
    assert here.run("synthesise", films, "--out", tmp_path / "made", *options)[0] == 0
    check_alike(bucket, "made", tmp_path / "made")
    status, _, err = here.run("synthesise", f"s3://{bucket.name}/films", "--out", url, *options)
    assert (status, "5 of 5 films were done before" in err) == (0, True)


def test_a_changed_object_is_worked_on_anew_and_a_deleted_one_is_gone(
    server: str, bucket: Bucket, films: Path, tmp_path: Path
) -> None:
    here, url = Commands(f"http://{server}", tmp_path / "machine"), f"s3://{bucket.name}"
    assert here.run("segment", f"{url}/films", "--out", f"{url}/lungs")[0] == 0
    bucket.put("films/b.png", (films / "c/d.png").read_bytes())
    bucket.delete("films/e")
    other = Commands(f"http://{server}", tmp_path / "other")  # another machine, which has no cache
    status, _, err = other.run("segment", f"{url}/films", "--out", f"{url}/lungs", "--prune")
    assert (status, "3 of 4 films were done before" in err) == (0, True), err
    (films / "b.png").write_bytes((films / "c/d.png").read_bytes())
    (films / "e").unlink()
    assert here.run("segment", films, "--out", tmp_path / "lungs")[0] == 0
    check_alike(bucket, "lungs", tmp_path / "lungs")


def test_a_run_that_is_killed_goes_on_here_and_elsewhere(
    server: str, bucket: Bucket, films: Path, tmp_path: Path
) -> None:
    stuck = threading.Event()

    def answer(method: str, path: str) -> int | None:
        if method == "GET" and path.endswith("/films/c/d.png"):
            stuck.set()
            time.sleep(60)
        return None

    wire, url = Wire(server, answer), f"s3://{bucket.name}"
    arguments = ("segment", f"{url}/films", "--out", f"{url}/lungs", "--workers", 1)
    here = Commands(wire.url, tmp_path / "machine")
    for stop in (signal.SIGTERM, signal.SIGKILL):
        stuck.clear()
        process = here.start(*arguments)
        assert stuck.wait(60)
        process.send_signal(stop)
        _, err = process.communicate(timeout=60)
        if stop == signal.SIGTERM:
            assert process.returncode == 143
            assert "3 of 5 done; go on with the same command" in err
            done = bucket.tree("lungs")
            assert {f"labels/{name}.png" for name in ("a", "b", "c/a")} <= done.keys()
            assert "manifest.csv" not in done
    wire.answer = lambda method, path: None
    elsewhere = Commands(wire.url, tmp_path / "elsewhere")
    status, _, err = elsewhere.run(*arguments)
    assert (status, "3 of 5 films were done before" in err) == (0, True), err
    status, _, err = here.run(*arguments)
    assert (status, "5 of 5 films were done before" in err) == (0, True), err
    assert here.run("segment", films, "--out", tmp_path / "lungs")[0] == 0
    check_alike(bucket, "lungs", tmp_path / "lungs")


def test_portions_on_two_machines_are_joined_on_a_third(
    server: str, bucket: Bucket, films: Path, tmp_path: Path
) -> None:
    machine, url = Commands(f"http://{server}", tmp_path / "job"), f"s3://{bucket.name}"
    for number in (1, 2):
        cache = str(tmp_path / f"cache-{number}")
        status, _, err = machine.run(
            "segment", f"{url}/films", "--out", f"{url}/lungs", "--portion", f"{number}/2", "--workers", 1,
            ARTASYN_CACHE=cache,
        )  # fmt: skip
        assert (status, f"when all are, run artasyn merge {url}/lungs" in err) == (0, True), err
    status, _, err = machine.run("merge", f"{url}/lungs")
    assert status == 0, err
    assert machine.run("segment", films, "--out", tmp_path / "lungs")[0] == 0
    check_alike(bucket, "lungs", tmp_path / "lungs")


def test_portions_of_ct_are_joined_on_a_machine_with_another_cache(server: str, bucket: Bucket, tmp_path: Path) -> None:
    for name in ("a", "b"):
        path = tmp_path / f"{name}.nii.gz"
        write_chest(path, chest((9.0, 8.0, 8.0), length=330.0))
        bucket.put(f"cts/{path.name}", path.read_bytes())
        bucket.put(f"labels/{path.name}", path.with_name(f"{name}_labels.nii.gz").read_bytes())
    bucket.put("names.csv", write_names(tmp_path / "names.csv").read_bytes())
    machine, url = Commands(f"http://{server}", tmp_path / "job"), f"s3://{bucket.name}"
    for number in (1, 2):
        status, _, err = machine.run(
            "stock", f"{url}/cts", "--labels", f"{url}/labels", "--names", f"{url}/names.csv", "--variants", 1,
            "--out", f"{url}/stock", "--portion", f"{number}/2", "--workers", 1,
            ARTASYN_CACHE=str(tmp_path / f"cache-{number}"),
        )  # fmt: skip
        assert status == 0, err
    status, _, err = machine.run("merge", f"{url}/stock")
    assert status == 0, err
    stock = bucket.tree("stock")
    assert f"{url}/labels/a.nii.gz" in stock["records/a_000.json"].decode()
    assert not [name for name, data in stock.items() if str(tmp_path).encode() in data]


def test_workers_of_a_cluster_read_films_at_urls(server: str, bucket: Bucket, films: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="needs pip install artasyn[dask]")
    machine, url = Commands(f"http://{server}", tmp_path / "machine"), f"s3://{bucket.name}"
    (tmp_path / "dask").mkdir()
    with local_dask(tmp_path / "dask", machine.environment()) as address:
        status, _, err = machine.run(
            "segment", f"{url}/films", "--out", f"{url}/lungs", "--backend", "dask", DASK_SCHEDULER_ADDRESS=address
        )
    assert (status, f"dask at {address}" in err) == (0, True), err
    assert machine.run("segment", films, "--out", tmp_path / "lungs")[0] == 0
    check_alike(bucket, "lungs", tmp_path / "lungs")


def test_a_film_that_vanishes_fails_alone(server: str, bucket: Bucket, films: Path, tmp_path: Path) -> None:
    def answer(method: str, path: str) -> int | None:
        return 404 if method in ("GET", "HEAD") and path.endswith("/films/b.png") else None

    here, url = Commands(Wire(server, answer).url, tmp_path / "machine"), f"s3://{bucket.name}"
    status, _, err = here.run("segment", f"{url}/films", "--out", f"{url}/lungs", "--workers", 1)
    assert (status, "1 of 5 failed" in err) == (1, True), err
    row = next(line for line in bucket.tree("lungs")["manifest.csv"].decode().splitlines() if line.startswith("b,"))
    assert row.startswith(f"b,{url}/films/b.png,failed,{url}/films/b.png is gone from the store since it was listed")


def test_a_network_that_is_lost_is_one_error_and_the_same_command_goes_on(
    server: str, bucket: Bucket, films: Path, tmp_path: Path
) -> None:
    lost = threading.Event()

    def answer(method: str, path: str) -> int | None:
        if method == "GET" and path.endswith("/films/c/d.png"):
            lost.set()
        return 0 if lost.is_set() else None

    wire, url = Wire(server, answer), f"s3://{bucket.name}"
    here = Commands(wire.url, tmp_path / "machine")
    arguments = ("segment", f"{url}/films", "--out", f"{url}/lungs", "--workers", 1)
    status, out, err = here.run(*arguments)
    assert (status, out) == (2, "")
    told = re.findall(r"^artasyn: (.*)", err, re.MULTILINE)
    assert len(told) == 1
    assert told[0].startswith(f"{url}/films/c/d.png: the store does not answer")
    lost.clear()
    wire.answer = lambda method, path: None
    status, _, err = here.run(*arguments)
    assert (status, "3 of 5 films were done before" in err) == (0, True), err


def test_results_that_cannot_be_sent_stay_here_and_none_is_cut_short(
    server: str, bucket: Bucket, films: Path, tmp_path: Path
) -> None:
    def answer(method: str, path: str) -> int | None:
        return 503 if method == "PUT" and path.endswith("/overlays/c/d.png") else None

    wire, url = Wire(server, answer), f"s3://{bucket.name}"
    here = Commands(wire.url, tmp_path / "machine")
    arguments = ("segment", f"{url}/films", "--out", f"{url}/lungs", "--workers", 1)
    status, _, err = here.run(*arguments)
    assert status == 2
    assert f"artasyn: {url}/lungs/overlays/c/d.png: the store does not answer" in err
    there = bucket.tree("lungs")
    assert there.keys().isdisjoint({"manifest.csv", ".journal.jsonl", "overlays/c/d.png"})
    assert bucket.begun() == []
    wire.answer, wire.seen = (lambda method, path: None), []
    status, _, err = here.run(*arguments)
    assert (status, "5 of 5 films were done before" in err) == (0, True), err
    assert not [each for each in wire.seen if each.startswith("GET") and "/films/" in each and "list-type" not in each]
    assert here.run("segment", films, "--out", tmp_path / "lungs")[0] == 0
    check_alike(bucket, "lungs", tmp_path / "lungs")
    assert all(data == bucket.tree("lungs")[name] for name, data in there.items())


def test_what_is_missing_or_refused_is_told_in_one_sentence(
    server: str, bucket: Bucket, films: Path, tmp_path: Path
) -> None:
    here, url = Commands(f"http://{server}", tmp_path / "machine"), f"s3://{bucket.name}"
    nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}
    forbidden = Commands(Wire(server, lambda method, path: 403).url, tmp_path / "forbidden")
    for machine, films_at, out, about, told in (
        (here, "s3://no-such-bucket/films", "lungs", {}, "s3://no-such-bucket/films does not exist"),
        (here, f"{url}/film", "lungs", {}, f"{url}/film does not exist"),
        (here, f"{url}/films", "s3://no-such-bucket/lungs", {}, "s3://no-such-bucket/lungs does not exist"),
        (here, f"{url}/films", "lungs", nobody, f"{url}/films: access is refused"),
        (forbidden, f"{url}/films", "lungs", {}, f"{url}/films: access is refused"),
    ):
        status, out_text, err = machine.run("segment", films_at, "--out", out, **about)
        assert (status, out_text) == (2, ""), err
        assert re.fullmatch(rf"artasyn: {re.escape(told)}.*\n", err), err
        assert not (machine.place / "lungs").exists()
    assert bucket.tree("lungs") == {}
