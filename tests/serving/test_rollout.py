"""A new champion is proven, then switched to, without a failed request; a bad one is refused."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from components import config, golden
from serving.engine.make import EngineMaker
from serving.resident import Source
from serving.rollout import Rollout
from serving.versions import Versions
from tests.serving import models
from tests.serving.live import Live, source

ASK = {"model": "intake", "messages": [{"role": "user", "content": "My head hurts."}], "max_tokens": 12}


@pytest.fixture
def running(base: Path, version_1: Path, tmp_path: Path) -> Iterator[Live]:
    live = Live(f"sqlite:///{tmp_path / 'saqia.db'}", source("1", version_1, base))
    yield live
    live.close()


def version_of(live: Live) -> str:
    return str(httpx.post(f"{live.url}/v1/chat/completions", json=ASK, timeout=60).headers["x-saqia-version"])


def test_a_new_champion_takes_over_under_load_and_a_rollback_is_immediate(
    running: Live, base: Path, version_1: Path, version_2: Path
) -> None:
    stop, seen, failed = threading.Event(), [], []

    def ask() -> None:
        with httpx.Client(base_url=running.url, timeout=60) as http:
            while not stop.is_set():
                response = http.post("/v1/chat/completions", json=ASK)
                if response.status_code != 200:
                    failed.append(response.text)
                seen.append(response.headers.get("x-saqia-version"))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    champions = running.runtime.versions
    for version, folder in (("2", version_2), ("1", version_1), ("2", version_2)):
        running.champion = source(version, folder, base)
        running.until(lambda version=version: champions.champion and champions.champion.version == version)
        already = len(seen)
        running.until(lambda version=version, already=already: version in seen[already:])
    stop.set()
    for thread in threads:
        thread.join()
    assert not failed
    assert set(seen) == {"1", "2"}
    assert version_of(running) == "2"
    assert set(running.runtime.versions.names()) >= {"intake@1", "intake@2", "base"}


def test_a_request_in_flight_finishes_on_the_version_that_began_it(running: Live, base: Path, version_2: Path) -> None:
    body = {**ASK, "max_tokens": 150, "stream": True, "temperature": 0, "logit_bias": {"0": -100, "2": -100}}
    with httpx.stream("POST", f"{running.url}/v1/chat/completions", json=body, timeout=60) as response:
        lines = response.iter_lines()
        next(lines)
        running.champion = source("2", version_2, base)
        champions = running.runtime.versions
        running.until(lambda: champions.champion and champions.champion.version == "2")
        rest = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert {chunk["model"] for chunk in rest} == {"intake@1"}
    assert rest[-1]["choices"][0]["finish_reason"] == "length"


def refused(running: Live, folder: Path, base: Path) -> str:
    """The reason for which a version is refused, while version 1 goes on serving."""
    running.champion = source("2", folder, base)
    running.until(lambda: running.runtime.rollout.refusal)
    assert version_of(running) == "1"
    ready = httpx.get(f"{running.url}/readyz")
    assert ready.status_code == 200
    assert ready.json()["refused"]["version"] == "2"
    return str(ready.json()["refused"]["reason"])


def test_one_changed_character_of_the_chat_template_is_found_and_named(
    running: Live, base: Path, version_2: Path, tmp_path: Path
) -> None:
    changed = models.copy_version(version_2, tmp_path / "changed")
    template = changed / "chat_template.jinja"
    before = template.read_text()
    template.write_text(before.replace("<|im_start|>", "<|im_start|> ", 1))
    assert len(template.read_text()) == len(before) + 1
    reason = refused(running, changed, base)
    assert "golden prompt 1: token" in reason
    assert "chat template or tokenizer differ" in reason


def test_other_weights_than_were_trained_are_found_and_named(
    running: Live, base: Path, version_1: Path, version_2: Path, tmp_path: Path
) -> None:
    other = models.copy_version(version_2, tmp_path / "other")
    (other / golden.FILE).write_bytes((version_1 / golden.FILE).read_bytes())
    assert "log-probability" in refused(running, other, base)


def test_a_damaged_adapter_is_refused(running: Live, base: Path, version_2: Path, tmp_path: Path) -> None:
    damaged = models.copy_version(version_2, tmp_path / "damaged")
    (damaged / "adapter_model.safetensors").write_bytes(b"not a tensor")
    assert "adapter_model.safetensors" in refused(running, damaged, base)


def test_a_missing_version_is_refused(running: Live, base: Path, tmp_path: Path) -> None:
    assert "missing" in refused(running, tmp_path / "nowhere", base)


def test_a_version_on_a_new_base_brings_its_base_and_the_old_one_goes(running: Live, tmp_path: Path) -> None:
    new_base = models.make_base(tmp_path / "base-2", hidden=48)
    champions = running.runtime.versions
    for number, seed in (("2", 5), ("3", 6)):
        folder = models.make_version(tmp_path / f"v{number}", new_base, seed)
        running.champion = source(number, folder, new_base)
        running.until(lambda number=number: champions.champion and champions.champion.version == number)
        assert version_of(running) == number
    running.until(lambda: len(running.runtime.rollout.engines) == 1)
    assert set(running.runtime.versions.names()) == {"base", "intake@2", "intake@3", "intake", "intake@champion"}
    assert httpx.post(f"{running.url}/v1/chat/completions", json={**ASK, "model": "base"}).status_code == 200


def test_without_a_version_the_service_says_what_to_do(tmp_path: Path, base: Path, version_1: Path) -> None:
    live = Live(f"sqlite:///{tmp_path / 'saqia.db'}", None)
    try:
        ready = httpx.get(f"{live.url}/readyz")
        assert ready.status_code == 503
        live.until(lambda: "saqia build" in httpx.get(f"{live.url}/readyz").json()["reason"])
        answer = httpx.post(f"{live.url}/v1/chat/completions", json=ASK)
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "no_version_yet"
        assert httpx.get(f"{live.url}/v1/models").json()["data"] == []
        live.champion = source("1", version_1, base)
        live.until(lambda: httpx.get(f"{live.url}/readyz").status_code == 200)
        assert version_of(live) == "1"
    finally:
        live.close()


def test_while_the_first_version_is_loaded_nobody_is_told_to_build_one(
    tmp_path: Path, base: Path, version_1: Path
) -> None:
    here = threading.Event()
    slow = replace(source("1", version_1, base), folder=lambda: version_1 if here.wait(60) else None)
    live = Live(f"sqlite:///{tmp_path / 'saqia.db'}", None)
    try:
        live.champion = slow
        live.until(lambda: live.runtime.rollout.coming)
        ready = httpx.get(f"{live.url}/readyz")
        assert (ready.status_code, ready.json()["reason"]) == (503, "version 1 is being loaded")
        answer = httpx.post(f"{live.url}/v1/chat/completions", json=ASK)
        assert (answer.status_code, answer.json()["error"]["message"]) == (503, "version 1 is being loaded")
        here.set()
        live.until(lambda: httpx.get(f"{live.url}/readyz").status_code == 200)
        assert live.runtime.rollout.coming is None
    finally:
        here.set()
        live.close()


def test_any_registered_version_answers_when_named_and_the_one_unused_longest_goes(
    base: Path, version_1: Path, version_2: Path, tmp_path: Path
) -> None:
    live = Live(f"sqlite:///{tmp_path / 'saqia.db'}", source("1", version_1, base), loaded_versions=1)
    try:
        third = models.make_version(tmp_path / "v3", base, seed=7)
        live.registered = {"2": source("2", version_2, base), "3": source("3", third, base)}
        live.registered["candidate"] = live.registered["3"]

        def ask(model: str) -> httpx.Response:
            return httpx.post(f"{live.url}/v1/chat/completions", json={**ASK, "model": model}, timeout=60)

        listed = {m["id"]: m["version"] for m in httpx.get(f"{live.url}/v1/models").json()["data"]}
        assert listed["intake@candidate"] == "3"
        assert "intake@previous" not in listed
        assert ask("intake@2").json()["model"] == "intake@2"
        assert ask("intake@candidate").headers["x-saqia-version"] == "3"
        assert set(live.runtime.rollout.engines[0].state().rows_by_model) <= {"base", "1", "2", "3"}
        assert "intake@2" not in live.runtime.versions.names()
        assert ask("intake@2").json()["model"] == "intake@2"
        assert version_of(live) == "1"
        for unknown in ("intake@9", "intake@previous", "intake@x", "other@2", "intake@"):
            assert ask(unknown).status_code == 404, unknown

        damaged = models.copy_version(version_2, tmp_path / "damaged")
        (damaged / "adapter_model.safetensors").write_bytes(b"not a tensor")
        live.registered["4"] = source("4", damaged, base)
        refused = ask("intake@4")
        assert refused.status_code == 503
        assert "adapter_model.safetensors" in refused.json()["error"]["message"]
        assert version_of(live) == "1"
    finally:
        live.close()


def test_a_service_without_a_version_gets_ready_for_the_first_one_and_then_serves_it(
    base: Path, version_1: Path
) -> None:
    settings = config.parse({"threads": 1, "serving": {"engine": "torch", "poll_seconds": 0.05}})
    champion: list[Source] = []
    prepared = threading.Event()

    def prepare() -> None:
        prepared.set()
        raise ImportError("a library that is not there")

    versions, engines = Versions("intake"), EngineMaker(settings)
    rollout = Rollout(versions, lambda: next(iter(champion), None), engines, settings.serving, prepare=prepare)
    rollout.start()
    assert prepared.wait(60)
    assert versions.champion is None
    engines.prepare()
    champion.append(source("1", version_1, base))
    Live.until(lambda: versions.champion is not None)
    rollout.close(5)


def test_who_asks_for_readiness_need_not_wait_for_the_next_look(
    base: Path, version_1: Path, version_2: Path, tmp_path: Path
) -> None:
    live = Live(f"sqlite:///{tmp_path / 'saqia.db'}", source("1", version_1, base), poll_seconds=3600)
    try:
        live.champion = source("2", version_2, base)
        live.until(lambda: httpx.get(f"{live.url}/readyz", timeout=60).json()["version"] == "2")
    finally:
        live.close()


def names(live: Live) -> set[str]:
    return set(live.runtime.versions.names())


def test_a_candidate_is_loaded_beside_the_champion_so_that_its_promotion_is_only_a_switch(
    running: Live, base: Path, version_2: Path
) -> None:
    loads = []
    second = source("2", version_2, base)

    def fetched() -> Path:
        loads.append("2")
        return second.folder()

    candidate = Source("2", second.base_sha256, fetched, second.base)
    running.candidate = candidate
    running.until(lambda: "intake@2" in names(running))
    assert version_of(running) == "1"
    running.champion, running.candidate = candidate, None
    champions = running.runtime.versions
    running.until(lambda: champions.champion and champions.champion.version == "2")
    assert version_of(running) == "2"
    assert loads == ["2"]


def test_a_candidate_that_waits_no_longer_is_unloaded(running: Live, base: Path, version_2: Path) -> None:
    running.candidate = source("2", version_2, base)
    running.until(lambda: "intake@2" in names(running))
    running.candidate = None
    running.until(lambda: "intake@2" not in names(running))
    running.until(lambda: "2" not in running.runtime.rollout.engines[0].state().rows_by_model)
    assert version_of(running) == "1"


def test_a_candidate_that_is_decided_about_while_it_is_being_loaded_goes_at_once(
    running: Live, base: Path, version_2: Path
) -> None:
    begun, decided = threading.Event(), threading.Event()
    second = source("2", version_2, base)

    def slow() -> Path:
        begun.set()
        assert decided.wait(60)
        return second.folder()

    running.candidate = Source("2", second.base_sha256, slow, second.base)
    assert begun.wait(60)
    running.candidate = None
    running.until(lambda: running.runtime.rollout._waiting is None)
    decided.set()
    running.until(lambda: not any(thread.name == "candidate" for thread in threading.enumerate()))
    assert "intake@2" not in names(running)
    assert version_of(running) == "1"


def test_a_rollback_does_not_wait_for_a_candidate_that_is_being_loaded(
    running: Live, base: Path, version_1: Path, version_2: Path
) -> None:
    champions = running.runtime.versions
    running.champion = source("2", version_2, base)
    running.until(lambda: champions.champion and champions.champion.version == "2")
    begun, goes_on = threading.Event(), threading.Event()
    third = source("3", version_2, base)

    def slow() -> Path:
        begun.set()
        assert goes_on.wait(60)
        return third.folder()

    running.candidate = Source("3", third.base_sha256, slow, third.base)
    assert begun.wait(60)
    running.champion = source("1", version_1, base)
    running.until(lambda: champions.champion and champions.champion.version == "1", seconds=30)
    assert not goes_on.is_set()
    goes_on.set()
    running.until(lambda: "intake@3" in names(running))


def test_a_candidate_that_cannot_be_loaded_disturbs_nothing_until_it_is_promoted(
    running: Live, base: Path, version_2: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = models.copy_version(version_2, tmp_path / "damaged")
    (damaged / "adapter_model.safetensors").write_bytes(b"not a tensor")
    running.candidate = source("2", damaged, base)
    running.until(lambda: "candidate 2 cannot be loaded yet" in caplog.text)
    ready = httpx.get(f"{running.url}/readyz")
    assert ready.status_code == 200
    assert ready.json()["refused"] is None
    assert version_of(running) == "1"
    assert "adapter_model.safetensors" in refused(running, damaged, base)
    assert caplog.text.count("candidate 2 cannot be loaded yet") == 1


def test_a_candidate_on_another_base_comes_with_its_promotion(running: Live, tmp_path: Path) -> None:
    new_base = models.make_base(tmp_path / "base-2", hidden=48)
    candidate = source("2", models.make_version(tmp_path / "v2", new_base, seed=5), new_base)
    running.candidate = candidate
    running.until(lambda: running.runtime.rollout._waiting == "2")
    assert len(running.runtime.rollout.engines) == 1
    running.champion, running.candidate = candidate, None
    champions = running.runtime.versions
    running.until(lambda: champions.champion and champions.champion.version == "2")
    assert version_of(running) == "2"
