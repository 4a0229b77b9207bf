"""Exported models by those who load them: plain transformers, llama.cpp, openvino-genai."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from components import export, golden
from components import models as base_models
from components.export import ExportError
from components.files import sha256_of
from tests.serving import models
from tests.serving.workspace import free_port

LLAMA_CPP = """
import json, sys, urllib.request, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.hostnames, params.port = sys.argv[1], ["127.0.0.1"], int(sys.argv[2])
params.use_jinja, params.n_ctx, params.n_parallel, params.n_gpu_layers, params.warmup = True, 256, 1, 0, False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
def post(path, **body):
    request = urllib.request.Request(server.listening_address + path, json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request))
for messages, most in json.load(sys.stdin):
    text = post("/apply-template", messages=messages)["prompt"]
    said = post("/completion", prompt=text, temperature=0, n_predict=most, return_tokens=True)
    print(json.dumps([post("/tokenize", content=text, parse_special=True)["tokens"], said["tokens"]]), flush=True)
"""
"""Chats with a file as llama.cpp itself renders, splits and answers them; prints token ids of prompt and answer."""


def llama_cpp(file: Path, version: Path) -> list[list[list[int]]]:
    prompts = golden.read(version)
    asked = [[[m.model_dump() for m in prompt.messages], len(prompt.answer_ids)] for prompt in prompts]
    command = [sys.executable, "-c", LLAMA_CPP, str(file), str(free_port())]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, timeout=120, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]


def test_plain_transformers_answers_as_the_version_from_the_folder_alone(
    base: Path, version_1: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path / "deep" / "whole"
    said = export.write("safetensors", version_1, base, folder)
    assert "weights in float32" in said
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert "{%- generation" not in tokenizer.chat_template
    for prompt in golden.read(version_1):
        chat = [message.model_dump() for message in prompt.messages]
        asked = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        assert asked["input_ids"][0].tolist() == list(prompt.prompt_ids)
        answer = model.generate(**asked, max_new_tokens=len(prompt.answer_ids))[0, asked["input_ids"].shape[1] :]
        assert answer.tolist() == list(prompt.answer_ids)
    assert [path.name for path in folder.parent.iterdir()] == ["whole"]


def test_weights_take_the_bases_type_unless_that_changes_an_answer(base: Path, tmp_path: Path) -> None:
    """As training does, the golden answers are computed in float32; rounding this random model to bf16 moves them."""
    model = base_models.load_model(base).to(torch.bfloat16)  # type: ignore[arg-type]
    rounded = models.copy_version(base, tmp_path / "base")
    model.save_pretrained(rounded)
    reference = base_models.BaseReference(kind="local", location=".", sha256=base_models.tensor_hash(rounded))
    (rounded / "base.json").write_text(reference.model_dump_json())
    version = models.make_version(tmp_path / "version", rounded, seed=3)
    in_full = base_models.load_model(rounded, version, dtype="float32")
    tokenizer = base_models.load_tokenizer(version)
    prompts = [golden.make(in_full, tokenizer, p.messages, 24) for p in golden.read(version)]
    golden.write(version, prompts)
    said = export.write("safetensors", version, rounded, tmp_path / "kept")
    assert any(line.startswith("bfloat16 would round too much (golden prompt") for line in said)
    assert "weights in float32" in said
    tuned = models.make_full_version(tmp_path / "tuned", rounded, seed=3)  # its weights are bf16 as they are
    assert "weights in bfloat16" in export.write("safetensors", tuned, rounded, tmp_path / "rounded")


def test_llama_cpp_and_openvino_answer_as_the_version(base: Path, version_1: Path, tmp_path: Path) -> None:
    said = export.write("ollama", version_1, base, tmp_path / "ollama")
    assert "checked: openvino-genai answers 2 of 2 golden prompts in the version's own tokens" in said
    answers = llama_cpp(tmp_path / "ollama" / "intake.gguf", version_1)
    assert answers == [[list(prompt.prompt_ids), list(prompt.answer_ids)] for prompt in golden.read(version_1)]
    modelfile = (tmp_path / "ollama" / "Modelfile").read_text()
    assert "\nFROM ./intake.gguf\n" in modelfile
    assert f'\nSYSTEM """{models.SYSTEM}"""\n' in modelfile
    assert '\nPARAMETER stop "<|im_end|>"\n' in modelfile


@pytest.mark.parametrize("how", ["safetensors", "gguf"])
def test_what_does_not_answer_as_the_version_is_never_there(
    base: Path, version_1: Path, tmp_path: Path, how: export.Format
) -> None:
    damaged = models.copy_version(version_1, tmp_path / "damaged")
    prompts = [
        p.model_copy(update={"answer_ids": (*p.answer_ids[:-1], p.answer_ids[-1] + 1)}) for p in golden.read(damaged)
    ]
    golden.write(damaged, prompts)
    with pytest.raises(ExportError, match=r"golden prompt.*nothing was written"):
        export.write(how, damaged, base, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["damaged"]


def test_an_export_replaces_nothing(base: Path, version_1: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    before = sha256_of(tmp_path)
    with pytest.raises(ExportError, match="is there already"):
        export.write("gguf", version_1, base, tmp_path / "mine")
    assert sha256_of(tmp_path) == before
