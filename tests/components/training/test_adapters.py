"""LoRA and its kin: where adapters stand, what each is, and that every later part takes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer

from components import golden, layout, task
from components.chat import end_of_turn_id
from components.evaluation.generation import load_merged
from components.files import write_rows
from components.models import load_model, load_tokenizer
from components.stage import StageError
from components.training import objectives
from components.training.__main__ import main
from components.training.classifier import Classifier
from components.training.lesson import Given
from components.training.methods import learning_rate, prepare_model
from serving.engine.openvino_engine import OpenVinoEngine
from serving.engine.torch_engine import TorchEngine
from tests.components.training.conftest import NUMBERS, rows, settings
from tests.components.training.test_preference import pairs

VERSION = layout.trained("toy")


def _greedy(model: Any, prompt: golden.GoldenPrompt, end: int) -> list[int]:
    return golden.greedy(model, prompt.prompt_ids, end, len(prompt.answer_ids))


@pytest.mark.parametrize("kind", [{"use_dora": True}, {"use_rslora": True, "target_modules": ["q_proj", "up_proj"]}])
def test_each_kind_is_trained_proven_and_served_merged_with_the_same_tokens(
    kind: dict[str, Any], toy: Path, tmp_path: Path
) -> None:
    main(settings(steps=30, lr=0.02, lora={"r": 4, "alpha": 8, **kind}))
    written = json.loads((VERSION / "adapter_config.json").read_text())
    assert {name: written[name] for name in kind} == kind
    prompts, tokenizer = golden.read(VERSION), load_tokenizer(layout.BASE)
    adapted, merged = load_model(layout.BASE, VERSION, "float32"), load_merged(layout.BASE, VERSION)
    assert golden.differences(adapted, tokenizer, prompts) == []
    assert golden.differences(merged, tokenizer, prompts) == []
    assert not any(isinstance(module, BaseTunerLayer) for module in merged.modules())
    base, end = load_model(layout.BASE, dtype="float32"), end_of_turn_id(tokenizer)
    for prompt in prompts:
        assert _greedy(merged, prompt, end) == list(prompt.answer_ids)
    assert any(_greedy(base, prompt, end) != list(prompt.answer_ids) for prompt in prompts), "it changes nothing"

    reference = TorchEngine(layout.BASE, max_batch=2, max_queue=8, context=64)
    reference.load("merged", VERSION)
    reference.load("beside others", VERSION, merged=False)
    fast = OpenVinoEngine(layout.BASE, tmp_path / "files", max_batch=2, max_queue=8, context=64, threads=1)
    fast.load("1", VERSION)
    try:
        for engine, name in ((reference, "merged"), (reference, "beside others"), (fast, "1")):
            assert (proof := engine.prove(name, prompts, 60)).holds, (name, proof)
    finally:
        reference.close(5)
        fast.close(5)


def test_a_turn_goes_on_from_a_dora_champion(toy: Path) -> None:
    lora = {"r": 4, "alpha": 8, "use_dora": True, "target_modules": ["q_proj", "down_proj"]}
    main(settings(steps=4, lora=lora))
    (layout.CHAMPION / "none.json").unlink()
    layout.CHAMPION.rmdir()
    VERSION.rename(layout.CHAMPION)
    started = prepare_model(settings(start="champion", lora=lora), layout.BASE, layout.CHAMPION).eval()
    ids = torch.arange(12)[None]
    with torch.no_grad():
        assert torch.equal(
            started(input_ids=ids).logits, load_model(layout.BASE, layout.CHAMPION)(input_ids=ids).logits
        )
    learning = [name for name, parameter in started.named_parameters() if parameter.requires_grad]
    assert [name for name in learning if "magnitude" in name]
    assert {name.split(".")[-4] for name in learning if "lora_A" in name} == {"q_proj", "down_proj"}


def test_a_layer_that_the_base_does_not_have_is_named_with_those_it_has(toy: Path) -> None:
    with pytest.raises(StageError, match=r"no layer 'c_attn'; it has down_proj, gate_proj, k_proj"):
        main(settings(lora={"target_modules": ["q_proj", "c_attn"]}))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_qlora_without_a_gpu_is_refused_before_anything_is_read(toy: Path) -> None:
    (layout.BASE / "base.json").unlink()
    with pytest.raises(StageError, match=r"method: qlora .*on a GPU, and this machine has none.*use method lora"):
        main(settings(method="qlora"))


def test_without_a_rate_each_method_has_its_own_and_a_wider_model_a_smaller_one(toy: Path) -> None:
    model: Any = load_model(layout.BASE)

    def rate(method: str, width: int) -> float:
        model.config.hidden_size = width
        return learning_rate(settings(method=method).train, model)

    assert rate("lora", 128) == 0.003
    assert rate("full", 128) == rate("freeze", 128) == 0.0003
    assert 1e-4 < rate("lora", 4096) < 3e-4
    assert 1e-5 < rate("full", 4096) < 3e-5
    assert learning_rate(settings(lr=0.5).train, model) == 0.5


def test_an_objective_has_its_own_share_of_the_methods_rate_unless_one_is_named(toy: Path) -> None:
    write_rows(layout.curated("toy") / "preferences.jsonl", pairs(0, 8))
    write_rows(layout.curated("toy") / "preferences_heldout.jsonl", [])
    write_rows(layout.curated("toy") / "replay.jsonl", rows(count=4))
    described = task.load("toy").model_copy(update={"answer": "label"})

    def rate(**how: Any) -> float:
        wanted = settings(**how)
        objective = objectives.find(wanted.train.objective)
        model: Any = load_model(layout.BASE, dtype="float32")
        taught = Classifier(model, NUMBERS) if wanted.train.objective == "classify" else model
        lesson = objective.prepare(Given(wanted, described, load_tokenizer(layout.BASE), taught, False))
        return lesson.lr or learning_rate(wanted.train, model)

    for method in ("lora", "full"):
        answers = rate(objective="sft", method=method)
        assert rate(objective="dpo", method=method) == pytest.approx(answers / 3, rel=0.01)
        assert rate(objective="grpo", method=method) == pytest.approx(answers / 3, rel=0.01)
    assert rate(objective="classify", method="lora") < rate(objective="sft", method="lora")
    assert rate(objective="classify", method="full") > rate(objective="sft", method="full")
    assert rate(objective="dpo", preference={"lr": 0.2}) == 0.2
    assert rate(objective="grpo", rl={"lr": 0.2}) == 0.2
    assert rate(objective="classify", lr=0.2) == 0.2
