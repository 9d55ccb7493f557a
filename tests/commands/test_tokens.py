"""The command that asks in words, with a writer that knows the film: what is written, refused, resumed and replaced."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from artasyn.arrays import Image
from artasyn.bulk.run import read_manifest
from artasyn.cli.main import main
from artasyn.commands.tokens import TokenReader, TokensOptions
from artasyn.errors import DataError, ModelError
from artasyn.evaluation.overlap import dice
from artasyn.files.radiograph import read_mask, read_radiograph, write_image
from artasyn.pictures.overlays import read_picture
from artasyn.segment.tokens import MaskCodec, Request, TokenSegmenter
from artasyn.segment.tokens.crops import box_of
from artasyn.segment.tokens.words import name_of
from artasyn.segment.tokens.writers import Said
from tests.anatomies import Exact, seen
from tests.conftest import ROOT
from tests.files.made import dicom
from tests.segment.tokens import conftest as tokens_conftest
from tests.test_readme import run
from tests.trees import tree

stored = tokens_conftest.stored
"""The folders of a small writer, which is untrained, and of its anatomy network."""

NAMES = ("heart", "lung_right", "spleen")


@dataclass(frozen=True)
class Knowing:
    """A writer that knows the masks of the chest of ellipsoids, and that the film shows no spleen."""

    names: tuple[str, ...] = NAMES
    digest: str = "knowing"

    def write(self, image: Image, request: Request) -> list[Said]:
        if request.task in ("view", "caption"):
            return [Said("frontal" if request.task == "view" else "heart", request.box, (), 0.75)]
        found = []
        for name, sure in zip(request.structures, (0.9, 0.8, 0.7), strict=False):
            mask = Exact()(image).mask(name) if name != "spleen" else np.zeros(image.shape, bool)
            (written,) = MaskCodec.from_pretrained().tokens([mask])
            if written is None:
                found.append(Said(name_of(name), sure=0.2))
            else:
                codes = written.codes if request.task == "segment" else ()
                found.append(Said(name_of(name), written.box, codes, sure))
        return found


@cache
def knowing() -> TokenSegmenter:
    return TokenSegmenter(Knowing(), MaskCodec.from_pretrained(), Exact())


class KnowingReader(TokenReader):
    """Answers with `Knowing`, in worker processes too."""

    @property
    def segmenter(self) -> TokenSegmenter:
        return knowing()


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command answers without fault, also in its worker processes."""
    monkeypatch.setattr(TokensOptions, "reader", lambda options: KnowingReader(options.model))


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film as PNG and as DICOM with spacing, a film of noise, and a file that is cut short."""
    folder = tmp_path_factory.mktemp("films")
    image = seen(320)[0]
    write_image(folder / "a.png", image)
    stored = np.rint(4095 * image).astype(np.uint16)
    dicom(stored, ImagerPixelSpacing=[1.5, 1.5]).save_as(folder / "b.dcm", enforce_file_format=True)
    write_image(folder / "noise.png", np.random.default_rng(0).random((200, 180), np.float32))
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:900])
    (folder / "notes.txt").write_text("not a film")
    return folder


def asked(films: Path, out: Path, prompt: str, *more: str) -> int:
    return main(["tokens", str(films), "--out", str(out), "--prompt", prompt, "--workers", "1", *more])


def test_segment_writes_masks_text_boxes_and_tables(
    exact: None, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert asked(films, out, "segment cor ; right lung ; spleen") == 1
    said = capsys.readouterr()
    assert "cut.png" in said.err
    assert "1 of 4 are unusable" in said.err
    assert "passed over: 1 files" in said.err
    rows = {row["name"]: row for row in read_manifest(out / "manifest.csv")}
    assert [rows[name]["status"] for name in ("a", "b", "cut", "noise")] == ["ok", "ok", "failed", "unusable"]
    row, empty = rows["a"], rows["noise"]
    assert (row["prompt"], row["writer"]) == ("segment heart ; right lung ; spleen", "knowing")
    assert row["confidence"] == "0.9000 ; 0.8000 ; 0.0000"
    assert (row["structures"], empty["structures"], empty["answer"]) == ("2", "0", " ;  ; ")
    assert (row["spacing"], rows["b"]["spacing"]) == ("", "1.5000")
    codec, masks, truth = MaskCodec.from_pretrained(), out / row["masks"], Exact()(read_radiograph(films / "a.png"))
    assert sorted(path.stem for path in masks.iterdir()) == ["heart", "lung_right"]
    assert not list((out / empty["masks"]).iterdir())
    record = json.loads((out / row["answers"]).read_text())
    assert record["answer"] == row["answer"]
    assert (record["writer"], record["shape"], record["reasons"]) == ("knowing", list(truth.grid), [])
    assert json.loads((out / empty["answers"]).read_text())["reasons"]
    boxes = row["box"].split(" ; ")
    with np.load(out / row["npz"]) as file:
        packed = np.unpackbits(file["masks"], axis=0, count=3) > 0
        assert tuple(file["names"]) == NAMES
        np.testing.assert_allclose(file["confidence"], [0.9, 0.8, 0], atol=1e-6)
    for place, (name, each) in enumerate(zip(NAMES, record["answers"], strict=True)):
        assert each["structure"] == name
        np.testing.assert_array_equal(packed[place], codec.decode(each["answer"], truth.grid))
        if name == "spleen":
            assert (each["answer"], each["box"], boxes[place], packed[place].any()) == ("", None, "", False)
            continue
        mask = read_mask(masks / f"{name}.png")
        np.testing.assert_array_equal(mask, packed[place])
        assert dice(mask, truth.mask(name)) > 0.95
        assert tuple(each["box"]) == box_of(mask) == tuple(map(int, boxes[place].split()))
    coco = COCO(str(out / "annotations.json"))
    assert (len(coco.getImgIds()), len(coco.getAnnIds())) == (3, 4)
    with (out / "answers.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [(each["name"], each["structure"]) for each in table] == [
        *[("a", name) for name in NAMES], *[("b", name) for name in NAMES], ("cut", ""),
        *[("noise", name) for name in NAMES],
    ]  # fmt: skip
    assert " ".join(table[0][edge] for edge in ("top", "left", "bottom", "right")) == boxes[0]
    assert ("cut" in table[6]["reason"], table[6]["status"]) == (True, "failed")
    page = (out / "report.html").read_text()
    assert page.count("data:image/png") == 2
    assert "<td>heart</td><td>2</td><td>0.900</td>" in page
    assert "nothing on the image looks like a chest" in page
    for file in ("report.html", "sheet-1.png", "answers.csv", "annotations.json", "manifest.csv"):
        assert str(out / file) in said.out


def test_detect_writes_boxes_and_draws_them(exact: None, films: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert asked(films / "a.png", out, "detect heart ; spleen") == 0
    (row,) = read_manifest(out / "manifest.csv")
    assert re.fullmatch(r"(<loc\d{4}>){4} heart ; ", row["answer"])
    box = box_of(Exact()(seen(320)[0]).mask("heart"))
    assert box is not None
    assert row["box"] == f"{' '.join(map(str, box))} ; "
    assert not any((out / name).exists() for name in ("masks", "npz", "annotations", "annotations.json"))
    picture = read_picture(out / row["overlay"])[: seen(320)[0].shape[0]]
    rows, columns = np.nonzero((picture == (40, 200, 140)).all(axis=2))
    np.testing.assert_allclose([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1], box, atol=2)


@pytest.mark.parametrize(
    ("prompt", "answer", "box"),
    [
        ("caption <loc0000><loc0000><loc1023><loc1023>", "heart", " ".join(map(str, (0, 0, *seen(320)[0].shape)))),
        ("which view is this?", "frontal", ""),
    ],
)
def test_captions_and_views_are_named(
    exact: None, films: Path, tmp_path: Path, prompt: str, answer: str, box: str
) -> None:
    out = tmp_path / "out"
    assert asked(films, out, prompt) == 1
    rows = {row["name"]: row for row in read_manifest(out / "manifest.csv")}
    assert (rows["a"]["answer"], rows["a"]["confidence"], rows["a"]["box"]) == (answer, "0.7500", box)
    assert (rows["noise"]["answer"], rows["noise"]["confidence"]) == ("", "0.0000")
    (each,) = json.loads((out / rows["a"]["answers"]).read_text())["answers"]
    assert (each["structure"], each["answer"]) == (None, answer)
    assert f"<td>{answer}</td><td>2</td>" in (out / "report.html").read_text()
    assert (out / rows["a"]["overlay"]).is_file()


@pytest.mark.parametrize(
    "prompt", ["segment hart", "segment liver", "draw heart", "segment", "caption <loc0001>", "view heart", ""]
)
def test_a_bad_prompt_is_refused_before_any_film_is_read(
    exact: None, films: Path, tmp_path: Path, prompt: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError) as refused:
        Request.parse(prompt, NAMES)
    assert asked(films, tmp_path / "out", prompt) == 2
    assert capsys.readouterr().err == f"artasyn: {refused.value}\n"
    assert not (tmp_path / "out").exists()


def test_without_a_format_of_masks_nothing_is_asked() -> None:
    with pytest.raises(DataError, match="outputs names no format"):
        TokensOptions((Path("a.png"),), Path("out"), prompt="segment heart", outputs=())


def test_a_run_goes_on_where_it_stopped_and_prunes(
    exact: None, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs, out = tmp_path / "films", tmp_path / "out"
    inputs.mkdir()
    for name in ("a.png", "noise.png"):
        shutil.copy(films / name, inputs / name)
    assert asked(inputs, out, "segment heart", "--outputs", "png") == 1
    made = (out / "overlays" / "a.png").stat().st_mtime_ns
    assert not (out / "annotations.json").exists()
    (inputs / "noise.png").unlink()
    assert asked(inputs, out, "segment  the Cor", "--outputs", "png") == 0  # the same structure
    assert (out / "overlays" / "a.png").stat().st_mtime_ns == made
    assert "noise; --prune deletes them" in capsys.readouterr().err
    assert asked(inputs, out, "segment heart", "--outputs", "png", "--prune") == 0
    assert not (out / "overlays" / "noise.png").exists()
    assert asked(inputs, out, "detect heart") == 2
    assert "other settings" in capsys.readouterr().err
    (out / "answers" / "a.json").write_text('{"answers": [{}]}')
    assert asked(inputs, out, "segment heart", "--outputs", "png") == 2
    assert "a.json: is damaged" in capsys.readouterr().err
    (out / "answers" / "a.json").unlink()
    assert asked(inputs, out, "segment heart", "--outputs", "png") == 0


def test_any_number_of_workers_writes_the_same_bytes(exact: None, films: Path, tmp_path: Path) -> None:
    for workers in ("1", "2"):
        assert asked(films, tmp_path / workers, "segment heart ; right lung", "--workers", workers) == 1
    one, two = (tree(tmp_path / workers) for workers in ("1", "2"))
    one.pop(".journal.jsonl"), two.pop(".journal.jsonl")  # holds times
    assert one == two
    assert "masks/a/heart.png" in one


def test_a_stored_writer_runs_in_a_process_of_its_own(stored: tuple[Path, Path], films: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = [str(films / "b.dcm"), "--prompt", "segment aorta", "--out", str(out), "--workers", "1"]
    given += ["--model", str(stored[0]), "--anatomy", str(stored[1])]
    done = subprocess.run(
        [sys.executable, "-m", "artasyn", "tokens", *given], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "1 of 1 are unusable" in done.stderr
    (row,) = read_manifest(out / "manifest.csv")
    assert row["status"] == "unusable"
    assert row["writer"] == TokenSegmenter.from_pretrained(stored[0], anatomy=stored[1]).digest
    assert (out / "report.html").is_file()


def test_help_teaches_with_examples() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "artasyn", "tokens", "--help"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0
    for task in ("segment heart ; right lung", "detect aorta ; lungs", "caption <loc0100>", "view"):
        assert task in done.stdout
    assert "the following arguments are required" not in done.stderr


def test_a_prompt_is_required(films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["tokens", str(films), "--out", str(tmp_path / "out")])
    assert refused.value.code == 2
    assert "prompt" in capsys.readouterr().err


def test_a_reader_keeps_the_models_that_it_began_with(stored: tuple[Path, Path]) -> None:
    reader = TokenReader(str(stored[0]), str(stored[1])).pinned()
    assert reader.segmenter.names == tokens_conftest.NAMES
    assert reader.digests is not None
    for digests in (("another", reader.digests[1]), (reader.digests[0], "another")):
        with pytest.raises(ModelError, match="was replaced by another model"):
            _ = dataclasses.replace(reader, digests=digests).segmenter


def test_the_examples_of_the_page_run_in_an_empty_folder(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "tokens.md").read_text(encoding="utf-8")
    section = page.partition("### From the command line\n")[2].partition("\n### ")[0]
    done = run(re.findall(r"```(\w+)\n(.*?)```", section, flags=re.DOTALL), tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    (row,) = read_manifest(tmp_path / "answers" / "manifest.csv")
    pixels = int(done.stdout.splitlines()[-1].split()[0])
    assert pixels == np.count_nonzero(read_mask(tmp_path / "answers" / row["masks"] / "heart.png"))
    assert (tmp_path / "boxes" / "answers.csv").is_file()
    assert read_manifest(tmp_path / "views" / "manifest.csv")[0]["answer"] == "frontal"


def test_the_page_teaches_a_word_that_the_command_then_asks_for(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "tokens.md").read_text(encoding="utf-8")
    section = page.partition("### A new word from a few films\n")[2].partition("\n### ")[0]
    (example,) = re.findall(r"```(\w+)\n(.*?)```", section, flags=re.DOTALL)
    write = (
        "\nfrom artasyn import write_image\nfrom pathlib import Path\nwrite_image(Path('films/a.png'), unseen.image)"
    )
    command = "artasyn tokens films/ --prompt 'segment right upper half' --adapter upper_half --out out"
    done = run([("python", example[1] + write), ("bash", command)], tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    answer, pixels = next(
        (line, int(after)) for line, after in pairwise(done.stdout.splitlines()) if line.endswith(" heart")
    )
    assert " right upper half ; <loc" in answer
    (row,) = read_manifest(tmp_path / "out" / "manifest.csv")
    mask = read_mask(tmp_path / "out" / row["masks"] / "right_upper_half.png")
    assert np.count_nonzero(mask) == pytest.approx(pixels, rel=0.01)
    assert row["answer"] == answer.partition(" ; ")[0]


def test_adapters_are_kept_in_the_settings_and_refused_when_they_do_not_fit(
    stored: tuple[Path, Path], films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from artasyn.segment.tokens.learnt_words import LearntSettings, LearntWords

    models = ("--model", str(stored[0]), "--anatomy", str(stored[1]))
    base = TokenReader(str(stored[0]), str(stored[1])).segmenter.digest
    for name in ("one", "two"):
        settings = LearntSettings(base=base, names=(f"{name}_thing",), shallow=16)
        LearntWords(settings).save_pretrained(tmp_path / name)
    out, both = tmp_path / "out", ("--adapter", str(tmp_path / "one"), str(tmp_path / "two"))
    assert asked(films, out, "detect one thing ; two thing", *models, *both) == 1  # files that cannot be read
    assert json.loads((out / "settings.json").read_text())["adapter"] == [str(tmp_path / "one"), str(tmp_path / "two")]
    assert asked(films, out, "detect one thing ; two thing", *models, *both) == 1
    capsys.readouterr()
    assert asked(films, out, "detect one thing", *models, "--adapter", str(tmp_path / "one")) == 2
    assert "holds results of other settings" in capsys.readouterr().err
    assert asked(films, tmp_path / "other", "detect one thing", *models) == 2
    assert "no structure 'one thing'" in capsys.readouterr().err
    LearntWords(LearntSettings(names=("one_thing",), shallow=16)).save_pretrained(tmp_path / "foreign")
    assert asked(films, tmp_path / "other", "view", *models, "--adapter", str(tmp_path / "foreign")) == 2
    assert "the learnt words one_thing belong to another writer" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
