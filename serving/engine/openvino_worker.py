"""One openvino-genai pipeline in a process of its own, spoken to in lines of JSON.

A process, because a pipeline's step holds Python's lock until it is over (measured: 150 ms
steps, and nothing else ran), because loading the next champion must not stall the one that
serves, and because a crash in native code must not take the service with it.

    in    {"ask": 7, "prompt": [..], "new": 64, "ends": [..], "temperature": 0, "top_p": 1, "seed": 1, "whole": false}
          {"drop": 7}                 the client has gone, or a stop string is complete
    out   {"ready": true}             or {"failed": "why"} and the end
          {"tokens": [[7, [ids], ended]]}    after every step that brought something

Of a row that is asked for whole, only the first token is told at once and the others with the last: nobody
looks at them earlier, and each telling takes time from who is looked at.

The end of the input is the end of the process, so it never outlives the service.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

from serving.engine.openvino_weights import kept_in_f16

BLOCK = 32
"""Tokens in one block of the key/value cache (openvino's, on a CPU)."""
CACHE_BYTES = 2 << 30
"""Most memory for keys and values; where it is too little, openvino lets requests wait."""


class Worker:
    """The pipeline and what it is doing."""

    def __init__(self, settings: dict[str, Any], out: BinaryIO) -> None:
        import numpy
        import openvino
        import openvino_genai as genai

        self._numpy, self._openvino, self._genai = numpy, openvino, genai
        self._out = out
        self._handles: dict[int, Any] = {}
        self._whole: dict[int, bool] = {}
        """Rows asked for whole → whether their first token has been told."""
        scheduler = genai.SchedulerConfig()
        scheduler.num_kv_blocks = cache_blocks(settings)
        scheduler.max_num_seqs = int(settings["max_batch"])
        scheduler.max_num_batched_tokens = int(settings["prefill_tokens"])
        scheduler.enable_prefix_caching = True
        exact = {
            # Both default to something smaller that answers otherwise than the reference does.
            "INFERENCE_PRECISION_HINT": "f32",
            "KV_CACHE_PRECISION": "f32",
            "INFERENCE_NUM_THREADS": int(settings["threads"]),
        }
        file = Path(settings["file"])
        tokenizer = genai.Tokenizer(str(file))  # only asked for by the constructor: prompts come as ids
        weights = kept_in_f16(file)
        self._pipeline = genai.ContinuousBatchingPipeline(str(weights), tokenizer, scheduler, "CPU", **exact)

    def serve(self, source: int) -> None:
        """Read, step, tell; until the input ends."""
        pending = b""
        while True:
            busy = bool(self._handles) or self._pipeline.has_non_finished_requests()
            while select.select([source], [], [], 0 if busy else None)[0]:
                more = os.read(source, 1 << 20)
                if not more:
                    return
                *lines, pending = (pending + more).split(b"\n")
                for line in lines:
                    self._take(json.loads(line))
                busy = True
            if self._pipeline.has_non_finished_requests():
                self._pipeline.step()
            self._tell()

    def _take(self, command: dict[str, Any]) -> None:
        if (id := command.get("drop")) is not None:
            self._whole.pop(id, None)
            if (handle := self._handles.pop(id, None)) is not None:
                handle.cancel()
            return
        how = self._genai.GenerationConfig()
        how.max_new_tokens = command["new"]
        how.stop_token_ids = set(command["ends"])
        how.apply_chat_template = False
        if command["temperature"] > 0:
            how.do_sample = True
            how.temperature = command["temperature"]
            how.top_p = command["top_p"]
            how.rng_seed = command["seed"]
        ids = self._openvino.Tensor(self._numpy.array([command["prompt"]], dtype=self._numpy.int64))
        self._handles[command["ask"]] = self._pipeline.add_request(command["ask"], ids, how)
        if command["whole"]:
            self._whole[command["ask"]] = False

    def _tell(self) -> None:
        running = self._genai.GenerationStatus.RUNNING
        said: list[tuple[int, list[int], bool]] = []
        for id, handle in list(self._handles.items()):
            ended = handle.get_status() != running
            if self._whole.get(id) and not ended:
                continue
            tokens: list[int] = []
            while handle.can_read():
                for output in handle.read().values():
                    tokens += output.generated_ids
            if tokens or ended:
                said.append((id, tokens, ended))
            if tokens and id in self._whole:
                self._whole[id] = True
            if ended:
                del self._handles[id]
                self._whole.pop(id, None)
        if said:
            tell(self._out, {"tokens": said})


def cache_blocks(settings: dict[str, Any]) -> int:
    """Blocks for a full batch of full contexts and as much again for prefixes, within `CACHE_BYTES`."""
    wanted = 2 * int(settings["max_batch"]) * -(-int(settings["context"]) // BLOCK)
    affordable = CACHE_BYTES // (BLOCK * int(settings["bytes_per_token"]))
    one = -(-int(settings["context"]) // BLOCK) + 1
    return max(one, min(wanted, affordable))


def tell(out: BinaryIO, message: dict[str, Any]) -> None:
    """One line to the service."""
    out.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
    out.flush()


def main() -> None:
    """Load what the only argument says, then serve standard input."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # native code prints warnings to standard output
    began = time.monotonic()
    try:
        worker = Worker(json.loads(sys.argv[1]), out)
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        tell(out, {"failed": lines[-1].strip()})
        sys.exit(1)
    tell(out, {"ready": True, "seconds": round(time.monotonic() - began, 2)})
    try:
        worker.serve(0)
    except Exception as error:
        tell(out, {"failed": f"{type(error).__name__}: {' '.join(str(error).split())}"})
        sys.exit(1)
    # Nothing to put away, and native threads have been seen to hang on the way out.
    os._exit(0)


if __name__ == "__main__":
    main()
