"""Answer prompts with a GGUF file by openvino-genai: JSON on standard input, the answers' token ids on standard output.

{"file": "a.gguf", "ends": [..], "prompts": [["text", most new tokens], ..]}  →  [[ids], ..]
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def main() -> None:
    """Answer, greedily and in float32, and end without waiting for native threads."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # native code prints warnings to standard output
    asked: dict[str, Any] = json.load(sys.stdin)
    import openvino_genai as genai

    exact = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
    pipeline = genai.ContinuousBatchingPipeline(asked["file"], genai.SchedulerConfig(), "CPU", exact)
    tokenizer = pipeline.get_tokenizer()
    answers = []
    for number, (text, most) in enumerate(asked["prompts"]):
        how = genai.GenerationConfig()
        how.max_new_tokens = most
        how.stop_token_ids = set(asked["ends"])
        how.apply_chat_template = False
        prompt = tokenizer.encode(text, add_special_tokens=False).input_ids
        handle = pipeline.add_request(number, prompt, how)
        tokens: list[int] = []
        while pipeline.has_non_finished_requests():
            pipeline.step()
        while handle.can_read():
            for output in handle.read().values():
                tokens += output.generated_ids
        answers.append(tokens)
    out.write(json.dumps(answers) + "\n")
    out.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
