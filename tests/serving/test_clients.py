"""Real OpenAI clients, with nothing changed but the base URL."""

from __future__ import annotations

import asyncio
from typing import Literal

import openai
import pytest
from pydantic import BaseModel

from tests.serving.live import Live

ASK = [{"role": "user", "content": "My head hurts."}]


@pytest.fixture
def client(live: Live) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0)


class Note(BaseModel):
    urgent: bool
    level: Literal["low", "high"]


def test_openai_sync_chat_completion(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="intake", messages=ASK, max_tokens=6, logprobs=True, top_logprobs=2)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 6
    assert answer.choices[0].logprobs is not None
    assert len(answer.choices[0].logprobs.content or []) == 6


def test_openai_stream_equals_the_whole_answer(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="intake", messages=ASK, max_tokens=20, temperature=0)
    options = {"include_usage": True}
    stream = client.chat.completions.create(
        model="intake", messages=ASK, max_tokens=20, temperature=0, stream=True, stream_options=options
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage


def test_openai_stream_helper(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="intake", messages=ASK, response_format=Note, temperature=0) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    assert isinstance(final.choices[0].message.parsed, Note)


def test_openai_parse_gives_the_pydantic_object(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(
        model="intake", messages=ASK, response_format=Note, temperature=1.5, max_tokens=60
    )
    assert isinstance(answer.choices[0].message.parsed, Note)


def test_openai_async_many_at_once(live: Live) -> None:
    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key="none") as client:
            answers = await asyncio.gather(
                *(client.chat.completions.create(model="intake", messages=ASK, max_tokens=5, seed=1) for _ in range(8))
            )
        return [answer.choices[0].message.content or "" for answer in answers]

    assert len(set(asyncio.run(ask()))) == 1


def test_openai_text_completion_and_models(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="base", prompt=["hello", "the fox"], max_tokens=4, logprobs=2, echo=True)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.choices[0].text.startswith("hello")
    assert {model.id for model in client.models.list()} >= {"base", "intake", "intake@1"}
    assert client.models.retrieve("intake").id == "intake"


def test_openai_errors_are_the_clients_own_classes(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="intake", messages=ASK, temperature=9)
    assert refused.value.param == "temperature"
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="nothing", messages=ASK)


def test_langchain_chat_and_structured_output(live: Live) -> None:
    langchain = pytest.importorskip("langchain_openai")
    chat = langchain.ChatOpenAI(model="intake", base_url=f"{live.url}/v1", api_key="none", max_tokens=40, seed=1)
    answer = chat.invoke("My head hurts.")
    assert answer.response_metadata["model_name"] == "intake@1"
    assert answer.usage_metadata["output_tokens"] <= 40
    assert "".join(part.content for part in chat.stream("My head hurts.", temperature=0)) == (
        chat.invoke("My head hurts.", temperature=0).content
    )
    assert isinstance(chat.with_structured_output(Note, method="json_schema").invoke("My head hurts."), Note)
