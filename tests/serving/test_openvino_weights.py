"""What openvino holds of a version's weights: half the bytes, the same numbers."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from components import models
from components.export import gguf
from serving.engine.openvino_weights import kept_in_f16, marked


def test_every_weight_stays_f16_and_what_was_f32_is_left_alone(base: Path, tmp_path: Path) -> None:
    file = tmp_path / "one" / "model.gguf"
    file.parent.mkdir()
    gguf.write(models.load_model(base), models.load_tokenizer(base), file)
    folder = kept_in_f16(file)
    assert sorted(path.name for path in file.parent.iterdir()) == ["f16", "model.gguf"]

    net = ElementTree.parse(folder / "openvino_model.xml").getroot()
    layers = {layer.get("id"): layer for layer in net.iter("layer")}
    fed = {edge.get("to-layer"): layers[edge.get("from-layer")] for edge in net.iter("edge")}
    products = [layer for layer in layers.values() if layer.get("type") == "Convert" and layer.get("id") in fed]
    from_half = [one for one in products if fed[one.get("id")].find("data[@element_type='f16']") is not None]
    assert len(from_half) >= 7 * 2, "seven matrices a layer, two layers"
    assert all(one.find("rt_info/attribute[@name='decompression']") is not None for one in from_half)
    others = [one for one in products if one not in from_half]
    assert others, "shapes are converted, too"
    assert all(one.find("rt_info/attribute[@name='decompression']") is None for one in others)

    before = (folder / "openvino_model.xml").stat().st_mtime_ns
    assert kept_in_f16(file) == folder
    assert (folder / "openvino_model.xml").stat().st_mtime_ns == before


def test_marking_twice_is_marking_once() -> None:
    model = (
        '<net><layers><layer id="0" type="Const"><data element_type="f16"/></layer>'
        '<layer id="1" type="Convert"><data destination_type="f32"/><input/></layer></layers>'
        '<edges><edge from-layer="0" to-layer="1"/></edges></net>'
    )
    once = marked(model)
    assert once.count("decompression") == 1
    assert once.index("destination_type") < once.index("decompression") < once.index("<input")
    assert marked(once) == once
