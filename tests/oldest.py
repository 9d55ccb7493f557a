"""Runs readers, commands and a training: ``python tests/oldest.py`` in any installation, without pytest.

`.ci/run` runs the program with the oldest versions of all packages that setup.cfg allows, on the oldest Python.
"""

from __future__ import annotations

import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import imagecodecs
import numpy as np
import PIL.Image
from numpy.typing import NDArray
from pydicom import Dataset, uid
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate

from artasyn import Phantom, read_radiograph
from artasyn.cli.main import main

SHOWN = ("numpy", "torch", "lightning", "jsonargparse", "pydicom", "imagecodecs")


def dicom(path: Path, pixels: NDArray[np.uint16], syntax: str) -> Path:
    """Writes a film of 12 bits, compressed without loss."""
    film = Dataset()
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    film.file_meta.MediaStorageSOPClassUID = film.SOPClassUID = uid.ComputedRadiographyImageStorage
    film.file_meta.MediaStorageSOPInstanceUID = film.SOPInstanceUID = uid.UID("1.2.3")
    film.Modality, film.PhotometricInterpretation, film.SamplesPerPixel = "CR", "MONOCHROME2", 1
    film.Rows, film.Columns = pixels.shape
    film.BitsAllocated, film.BitsStored, film.HighBit, film.PixelRepresentation = 16, 12, 11, 0
    film.PixelData = pixels.tobytes()
    film["PixelData"].VR = "OW"
    if syntax == uid.JPEGLosslessSV1:
        coded = imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=1, bitspersample=12)
    elif syntax == uid.JPEGLSLossless:
        coded = imagecodecs.jpegls_encode(pixels)
    else:
        coded = b""
        if syntax != uid.ExplicitVRLittleEndian:
            film.compress(syntax, generate_instance_uid=False)
    if coded:
        film.PixelData = encapsulate([bytes(coded)])
        film["PixelData"].VR = "OB"
        film.file_meta.TransferSyntaxUID = uid.UID(syntax)
    film.save_as(path, enforce_file_format=True)
    return path


def run(*arguments: str | Path) -> None:
    """Runs a command, which has to succeed."""
    status = main([str(each) for each in arguments])
    assert status == 0, arguments


def films(folder: Path) -> None:
    """Reads one film in every lossless compression."""
    pixels = np.round(Phantom(size=192)(seed=1).image * 4095).astype(np.uint16)
    syntaxes = (uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.RLELossless)
    plain = read_radiograph(dicom(folder / "plain.dcm", pixels, uid.ExplicitVRLittleEndian))
    for syntax in syntaxes:
        found = read_radiograph(dicom(folder / "film.dcm", pixels, syntax))
        np.testing.assert_array_equal(found, plain, err_msg=uid.UID(syntax).name)


def commands(folder: Path) -> None:
    """Runs the commands on phantoms, with the models that ship and one that is trained here."""
    normals = folder / "normals"
    normals.mkdir()
    for seed in range(6):
        image = np.round(Phantom(size=192)(seed=seed).image * 255).astype(np.uint8)
        PIL.Image.fromarray(image).save(normals / f"{seed}.png")
    run("segment", normals, "--out", folder / "lungs", "--workers=1")
    run("synthesise", normals, "--out", folder / "synthetic", "--workers=1")
    run("anatomy", normals / "0.png", "--out", folder / "anatomy", "--workers=1")
    settings = ("--start=null", "--size=64", "--epochs=1", "--batch_size=1", "--workers=1", "--held_out=0.4")
    run("train", "--normal", normals, "--out", folder / "run", *settings)
    run("detect", normals / "0.png", "--model", folder / "run" / "model", "--out", folder / "found", "--workers=1")
    assert (folder / "found" / "scores.csv").is_file()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        films(Path(made))
        commands(Path(made))
    versions = ", ".join(f"{name} {version(name)}" for name in SHOWN)
    sys.stdout.write(f"films read, commands run; {versions}, Python {sys.version.split()[0]}\n")
