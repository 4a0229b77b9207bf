"""What each of locust's users does in benchmarks/load.py: ask, and note the answer's id.

LOAD_MODELS names the models (a task's champion, a version) that are asked in turn, LOAD_IDS the file for the ids of
whole answers; three in four are streamed.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

from locust import FastHttpUser, task

QUESTIONS = ("My head hurts.", "My knee hurts when I walk and paracetamol did not help at all.", "the quick brown fox")
MODELS = os.environ["LOAD_MODELS"].split()
IDS = Path(os.environ["LOAD_IDS"]).open("a", buffering=1)  # noqa: SIM115 - as long as the process


class Client(FastHttpUser):
    """Sends its next request when its last is answered."""

    @task
    def chat(self) -> None:
        body = {
            "model": random.choice(MODELS),
            "messages": [{"role": "user", "content": random.choice(QUESTIONS)}],
            "max_tokens": 32,
            "stream": random.random() < 0.75,
        }
        with self.client.post("/v1/chat/completions", json=body, name="chat", catch_response=True) as response:
            text = response.text or ""
            if response.status_code != 200:
                response.failure(f"{response.status_code}: {text[:200]}")
                return
            if body["stream"]:
                lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
                if not lines or lines[-1] != "[DONE]" or '"finish_reason":null' in lines[-2].replace(" ", ""):
                    response.failure(f"a stream that breaks off: {text[-200:]}")
                    return
                IDS.write(json.loads(lines[0])["id"] + "\n")
            else:
                IDS.write(json.loads(text)["id"] + "\n")
