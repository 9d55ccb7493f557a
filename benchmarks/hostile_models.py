"""Damaged models for `benchmarks.hostile`: model folders, ONNX files and training checkpoints."""

from __future__ import annotations

import functools
import json
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.hostile_damage import Edit, Rng, Tree, choice, damage_bytes, damage_json, damage_text

SIZE = 64
"""Rows and columns that the network sees."""


@functools.cache
def _film() -> Any:
    from artasyn.phantom.film import Phantom

    return Phantom(size=96)(1)


# Model folders ------------------------------------------------------------------------------------------


def models() -> dict[str, Tree]:
    """An intact model folder of every kind, with random weights."""
    import torch

    from artasyn.detection.network import DetectorNetwork
    from artasyn.detection.settings import DetectorSettings

    torch.manual_seed(0)
    trees: dict[str, Tree] = {}
    for settings in (DetectorSettings(size=SIZE), DetectorSettings(size=SIZE, kind="reconstruction")):
        with tempfile.TemporaryDirectory() as folder:
            DetectorNetwork(settings).save_pretrained(folder)
            names = ("config.json", "model.safetensors")
            trees[settings.kind] = Tree({f"model/{name}": Path(folder, name).read_bytes() for name in names}, "model")
    return trees


CONFIG, WEIGHTS = "model/config.json", "model/model.safetensors"
ENCODERS = (
    "hf-hub:timm/resnet18", "hf_hub:nobody/nothing", "timm/resnet18", "local-dir:/etc", "https://example.com/x", "../x",
    "vit_giant_patch14_224", "eva02_enormous_patch14_clip_224", "resnet18", "nothing", "", "resnet18.a1_in1k", "%s%n",
)  # fmt: skip
"""Names of encoders that a configuration may hold: on a hub, huge, unknown."""


def config_edit(rng: Rng, tree: Tree) -> Tree:
    """Damages the settings of a model."""
    text = tree.bytes_of(CONFIG).decode()
    kind = choice(rng, ("json", "json", "text", "encoder", "size"))
    if kind == "text":
        return tree.having(CONFIG, *damage_text(rng, text))
    if kind == "json":
        out, damage = damage_json(rng, text)
        return tree.having(CONFIG, out.encode("utf-8", "surrogatepass"), damage)
    values = json.loads(text)
    if kind == "encoder":
        values["encoder"] = choice(rng, ENCODERS)
    else:
        values["size"] = choice(rng, (0, -64, 1, 31, 63, 65, 96, 100_000, 2**31, 64.0, "64", True))
    return tree.having(CONFIG, json.dumps(values).encode(), f"model setting {kind}")


def tensors_edit(rng: Rng, tree: Tree) -> Tree:
    """Damages the table of tensors of a safetensors file."""
    data = tree.bytes_of(WEIGHTS)
    (size,) = struct.unpack("<Q", data[:8])
    table, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    kind = choice(rng, ("shape", "dtype", "offsets", "lost", "added", "json", "length", "no body"))
    name = choice(rng, [name for name in table if name != "__metadata__"])
    if kind == "shape":
        table[name]["shape"] = choice(
            rng, ([], [0], [-1], [2**40], table[name]["shape"][::-1], [*table[name]["shape"], 1])
        )
    elif kind == "dtype":
        table[name]["dtype"] = choice(rng, ("F16", "BF16", "I64", "F64", "U8", "BOOL", "C64", "x"))
    elif kind == "offsets":
        table[name]["data_offsets"] = choice(rng, ([0, 4], [0, 2**62], [-4, 4], [8, 4], []))
    elif kind == "lost":
        del table[name]
    elif kind == "added":
        table["more"] = {"dtype": "F32", "shape": [0], "data_offsets": [len(body), len(body)]}
    head = json.dumps(table)
    if kind == "json":
        head = damage_json(rng, head)[0]
    length = choice(rng, (0, 2**31, 2**63, len(head) + 1)) if kind == "length" else len(head.encode())
    body = b"" if kind == "no body" else body
    return tree.having(WEIGHTS, struct.pack("<Q", length) + head.encode() + body, f"safetensors: {kind}")


def weights_edit(rng: Rng, tree: Tree) -> Tree:
    """Replaces weights by NaN, infinity, huge numbers or zeros."""
    data = tree.bytes_of(WEIGHTS)
    (size,) = struct.unpack("<Q", data[:8])
    table = json.loads(data[8 : 8 + size])
    out = bytearray(data)
    value = np.float32(choice(rng, (np.nan, np.inf, -np.inf, 3e38, -3e38, 1e20, 0, 1e-40)))
    floats = [name for name, about in table.items() if name != "__metadata__" and about["dtype"] == "F32"]
    chosen = floats if rng.random() < 0.2 else [choice(rng, floats)]
    for name in chosen:
        low, high = (8 + size + end for end in table[name]["data_offsets"])
        high = high if rng.random() < 0.5 else min(high, low + 4)
        out[low:high] = value.tobytes() * ((high - low) // 4)
    return tree.having(WEIGHTS, bytes(out), f"weights of {value}")


def files_edit(rng: Rng, tree: Tree) -> Tree:
    """Loses or swaps the files of a model."""
    lost = choice(rng, (CONFIG, WEIGHTS))
    files = {name: data for name, data in tree.files.items() if name != lost}
    return Tree(files, tree.target, damage="a file of the model lost")


def read_model(path: Path) -> list[Any]:
    """Loads a model and looks at a phantom; every figure must be finite and in its range."""
    from artasyn.detection.detector import Detector

    return _looked(Detector.from_pretrained(path))


def _looked(detector: Any) -> list[Any]:
    found = detector(_film().image, _film().lungs)
    for name, values in (("heatmap", found.heatmap), ("score", np.array(found.score))):
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise AssertionError(f"accepted, but its {name} is from {values.min()} to {values.max()}")
    if not np.isfinite([detector.threshold, detector.image_threshold]).all():
        raise AssertionError("accepted, but its thresholds are not finite")
    return [found.heatmap, float(found.score)]


# ONNX ---------------------------------------------------------------------------------------------------


def onnx_files() -> dict[str, Tree]:
    """An intact ONNX file, of the smallest network with the ports and metadata of a detector."""
    from onnx import TensorProto, helper

    from artasyn.detection.settings import DetectorSettings

    shape: list[str | int | None] = ["b", 1, SIZE, SIZE]
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name in ("images", "reconstruction", "heatmap", "lungs")
    ]
    novelty = helper.make_tensor_value_info("novelty", TensorProto.FLOAT, ["b"])
    axes = helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3])
    scale = helper.make_tensor(
        "scale", TensorProto.FLOAT, [1, 1, SIZE, SIZE], np.full(SIZE * SIZE, 0.5, np.float32).tobytes(), raw=True
    )
    nodes = [
        helper.make_node("Mul", ["images", "scale"], ["half"]),
        helper.make_node("Identity", ["images"], ["reconstruction"]),
        helper.make_node("Sigmoid", ["half"], ["heatmap"]),
        helper.make_node("Sigmoid", ["half"], ["lungs"]),
        helper.make_node("ReduceMean", ["half", "axes"], ["novelty"], keepdims=0),
    ]
    graph = helper.make_graph(nodes, "detector", ports[:1], [*ports[1:3], novelty, ports[3]], [axes, scale])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, DetectorSettings(size=SIZE).to_metadata())
    return {"a.onnx": Tree({"a.onnx": model.SerializeToString()}, "a.onnx")}


def onnx_edit(rng: Rng, tree: Tree) -> Tree:
    """Damages the settings, the weights or the graph of an ONNX file, which stays a valid message."""
    import onnx

    model: Any = onnx.load_from_string(tree.bytes_of(tree.target))
    kind = choice(rng, ("setting", "setting", "setting", "weights", "node", "port", "external data", "shape"))
    if kind == "setting":
        row = choice(rng, model.metadata_props)
        if rng.random() < 0.2:
            model.metadata_props.remove(row)
        else:
            row.value = damage_json(rng, row.value)[0]
    elif kind == "weights":
        model.graph.initializer[1].raw_data = np.full(
            SIZE * SIZE, choice(rng, (np.nan, np.inf, 3e38)), np.float32
        ).tobytes()
    elif kind == "node":
        model.graph.node[int(rng.integers(4))].op_type = choice(rng, ("Nothing", "Conv", "Exp", "Loop", "Reshape"))
    elif kind == "port":
        choice(rng, [*model.graph.input, *model.graph.output]).name = "other"
    elif kind == "external data":
        weights = model.graph.initializer[1]
        weights.ClearField("raw_data")
        weights.data_location = 1
        weights.external_data.add(key="location", value=choice(rng, ("../../../../etc/passwd", "/dev/zero", "x")))
    else:
        model.graph.input[0].type.tensor_type.shape.dim[3].dim_value = int(choice(rng, (1, 65, 2**31, 2**62)))
    return tree.having(tree.target, model.SerializeToString(), f"ONNX {kind}")


def read_onnx(path: Path) -> list[Any]:
    """Loads an ONNX file and looks at a phantom."""
    from artasyn.detection.detector import Detector

    return _looked(Detector.from_onnx(path, threads=1))


MODEL_EDITS: tuple[Edit, ...] = (
    config_edit, config_edit, config_edit, tensors_edit, tensors_edit, weights_edit, files_edit, damage_bytes,
)  # fmt: skip
ONNX_EDITS: tuple[Edit, ...] = (onnx_edit, onnx_edit, damage_bytes)
