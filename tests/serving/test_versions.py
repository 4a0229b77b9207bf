"""What a version's folder says about how it answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from serving.engine.grammar import json_grammar
from serving.versions import in_taught_order, read_served
from tests.serving import models

SORTED = {
    "$defs": {"Part": {"properties": {"a": {"type": "string"}, "z": {"type": "string"}}, "required": ["z", "a"]}},
    "properties": {"extra": {}, "severity": {"type": "integer"}, "symptom": {"items": {"$ref": "#/$defs/Part"}}},
    "required": ["symptom", "severity"],
}


def test_answers_are_held_to_the_order_that_the_model_was_taught(version_1: Path, tmp_path: Path) -> None:
    """A manifest with sorted keys, as they were once written, loses the order; `required` still has it."""
    version = models.copy_version(version_1, tmp_path / "sorted")
    manifest = json.loads((version / "manifest.json").read_text())
    (version / "manifest.json").write_text(json.dumps({**manifest, "schema": SORTED}, sort_keys=True))
    served = read_served("intake", "1", version, cast(Any, None), cast(Any, None))
    assert served.schema is not None
    assert list(served.schema["properties"]) == ["symptom", "severity", "extra"]
    assert list(served.schema["$defs"]["Part"]["properties"]) == ["z", "a"]
    assert served.schema == SORTED  # nothing but the order
    assert json_grammar(json.dumps(served.schema)) != json_grammar(json.dumps(SORTED))


@pytest.mark.parametrize("schema", [True, {"type": "object"}, {"anyOf": [{"const": 1}, {"type": "null"}]}])
def test_a_schema_without_an_order_stays_as_it_is(schema: Any) -> None:
    assert in_taught_order(schema) == schema
