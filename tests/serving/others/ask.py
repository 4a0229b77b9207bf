"""Run by the clients' own Python: ask a running service through instructor or litellm, print what came as JSON.

python ask.py instructor|litellm URL
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Literal

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the network for prices

ASK = [{"role": "user", "content": "My head hurts."}]


def instructor(url: str) -> dict[str, Any]:
    """A pydantic object, at once and while it grows."""
    import instructor as library
    import openai
    from pydantic import BaseModel, ConfigDict

    class Note(BaseModel):
        model_config = ConfigDict(extra="forbid")  # the schema is not sent as strict, and a random model never ends
        urgent: bool
        level: Literal["low", "high"]

    client = library.from_openai(openai.OpenAI(base_url=url, api_key="none"), mode=library.Mode.JSON_SCHEMA)
    how: dict[str, Any] = {"model": "intake", "messages": ASK, "temperature": 0, "seed": 1}
    note, raw = client.chat.completions.create_with_completion(response_model=Note, max_retries=0, **how)
    parts = list(client.chat.completions.create_partial(response_model=Note, max_retries=0, **how))
    return {
        "note": note.model_dump(),
        "grown": parts[-1].model_dump(),
        "model": raw.model,
        "openai": openai.__version__,
    }


def litellm(url: str) -> dict[str, Any]:
    """A whole answer, the same one streamed, and a refusal as its own kind of error."""
    import litellm as library

    def ask(**how: Any) -> Any:
        return library.completion(model="openai/intake", api_base=url, api_key="none", messages=ASK, **how)

    whole = ask(max_tokens=12, temperature=0)
    chunks = list(ask(max_tokens=12, temperature=0, stream=True, stream_options={"include_usage": True}))
    try:
        ask(temperature=3)
        refused = ""
    except library.BadRequestError as error:
        refused = str(error)
    return {
        "text": whole.choices[0].message.content,
        "reason": whole.choices[0].finish_reason,
        "tokens": whole.usage.completion_tokens,
        "streamed": "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices),
        "refused": refused,
    }


if __name__ == "__main__":
    print(json.dumps({"instructor": instructor, "litellm": litellm}[sys.argv[1]](sys.argv[2])))
