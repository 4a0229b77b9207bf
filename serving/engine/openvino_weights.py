"""Weights of a GGUF as openvino computes with them best: kept in f16, half of what a step must read.

openvino-genai reads a GGUF's f16 tensors as constants with a conversion to f32, and the CPU plugin folds that
conversion away when it compiles: the weights are then in memory, and read for every token, at twice their size.
A conversion marked as decompression stays (OpenVINO, "Compressing a Model to FP16"), and the matrix product converts
as it reads: the same numbers, so the same tokens. The pipeline writes its model down when it is first made; here
the marks are put into that, and it is read from there ever after.
"""

from __future__ import annotations

import os
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

MARKED = "f16"
"""The folder beside the GGUF that holds the marked model."""
MODEL, WEIGHTS = "openvino_model.xml", "openvino_model.bin"
"""Names that openvino-genai writes and looks for."""


def kept_in_f16(file: Path) -> Path:
    """The folder with the marked model of a GGUF, made if it is not there; the GGUF must have its folder for itself.

    Raises:
        RuntimeError: openvino cannot read the GGUF.
    """
    folder = file.parent / MARKED
    if (folder / MODEL).exists():
        return folder
    import openvino_genai

    saving: dict[str, Any] = {"enable_save_ov_model": True, "INFERENCE_PRECISION_HINT": "f32"}
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.num_kv_blocks = 1
    openvino_genai.ContinuousBatchingPipeline(str(file), scheduler, "CPU", saving)
    working = folder.with_name(f"{MARKED}.{os.getpid()}")
    shutil.rmtree(working, ignore_errors=True)
    working.mkdir()
    (working / MODEL).write_text(marked((file.parent / MODEL).read_text(encoding="utf-8")), encoding="utf-8")
    (file.parent / WEIGHTS).rename(working / WEIGHTS)
    (file.parent / MODEL).unlink()
    shutil.rmtree(folder, ignore_errors=True)
    working.rename(folder)
    return folder


def marked(model: str) -> str:
    """An OpenVINO IR (version 11) in which every conversion of an f16 constant is marked as decompression."""
    net = ElementTree.fromstring(model)
    half = {
        layer.get("id")
        for layer in net.iter("layer")
        if layer.get("type") == "Const"
        and (data := layer.find("data")) is not None
        and data.get("element_type") == "f16"
    }
    from_half = {edge.get("to-layer") for edge in net.iter("edge") if edge.get("from-layer") in half}
    for layer in net.iter("layer"):
        if layer.get("type") != "Convert" or layer.get("id") not in from_half:
            continue
        said = layer.find("rt_info")
        if said is None:
            said = ElementTree.Element("rt_info")
            layer.insert(1, said)  # after its data
        if all(attribute.get("name") != "decompression" for attribute in said):
            ElementTree.SubElement(said, "attribute", name="decompression", version="0")
    return ElementTree.tostring(net, encoding="unicode")
