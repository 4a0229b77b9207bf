"""A canary answers its share of the users, always the same ones, and goes or stays by what they say of it."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from openai import OpenAI

from components import registry
from serving.engine.interface import EngineError, Request
from tests.serving import workspace
from tests.serving.live import Live, source
from tests.waiting import until

ASK = {"model": "intake", "max_tokens": 4, "temperature": 0}


@pytest.fixture
def running(base: Path, version_1: Path, tmp_path: Path) -> Iterator[Live]:
    trial = {"share": 0.3, "confidence": 0.95, "answers": 60}
    live = Live(f"sqlite:///{tmp_path / 'saqia.db'}", source("1", version_1, base), canary=trial)
    yield live
    live.close()


def try_out(running: Live, folder: Path, base: Path, share: float = 0.3, id: str = "2-now") -> None:
    running.canary = dataclasses.replace(source("2", folder, base), trial=(id, share))
    versions = running.runtime.versions
    running.until(lambda: (versions.trial and versions.trial.id == id) or running.verdicts)


def ask(http: httpx.Client, user: str | None, text: str = "My head hurts.", **changes: object) -> httpx.Response:
    who = {} if user is None else {"user": user}
    body = {**ASK, **who, "messages": [{"role": "user", "content": text}], **changes}
    return http.post("/v1/chat/completions", json=body)


def version_of(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    return str(response.headers["x-saqia-version"])


def test_a_share_of_the_users_gets_it_and_each_keeps_what_they_got(running: Live, base: Path, version_2: Path) -> None:
    try_out(running, version_2, base)
    with httpx.Client(base_url=running.url, timeout=60) as http:
        first = {f"user {n}": version_of(ask(http, f"user {n}")) for n in range(60)}
        assert {"1", "2"} == set(first.values())
        assert 6 <= list(first.values()).count("2") <= 32, "0.3 of 60, give or take four standard deviations"
        again = {user: version_of(ask(http, user, "Another message.")) for user in list(first)[:12]}
        assert again == {user: first[user] for user in again}
        conversations = {n: version_of(ask(http, None, f"It began {n} days ago.")) for n in range(12)}
        assert {"1", "2"} == set(conversations.values())
        for n, version in conversations.items():
            turns = [f"It began {n} days ago.", "{}", "And it is worse now."]
            roles = ("user", "assistant", "user")
            messages = [{"role": role, "content": turn} for role, turn in zip(roles, turns, strict=True)]
            later = http.post("/v1/chat/completions", json={**ASK, "messages": messages})
            assert version_of(later) == version, "a conversation goes on with the version that began it"
        assert version_of(ask(http, "user 1", model="intake@champion")) == "1"
        assert version_of(ask(http, "user 1", model="intake@2")) == "2"
        client = OpenAI(base_url=f"{running.url}/v1", api_key="none")
        trial = client.chat.completions.create(
            model="intake", user="user 3", max_tokens=4, messages=[{"role": "user", "content": "hi"}]
        )
        assert trial.model == f"intake@{first['user 3']}"
        ready = http.get("/readyz").json()
        assert ready["canary"]["version"] == "2"
        assert ready["canary"]["share"] == 0.3
    outcomes = running.runtime.store.outcomes("intake", "2-now")
    total = 60 + 12 + 12 + 12 + 1
    assert sum(answers for answers, _ in outcomes.values()) == total, "what a name chose is no part of the trial"


def people(running: Live, says: dict[str, str], until: str) -> list[str]:
    """Two people at a time ask and judge, by the version that answered, until the verdict; the versions they met."""
    met: list[str] = []
    failed: list[str] = []
    lock = threading.Lock()

    def person(number: int) -> None:
        with httpx.Client(base_url=running.url, timeout=60) as http:
            for turn in range(400):
                if running.verdicts:
                    return
                response = ask(http, f"{number} {turn}")
                if response.status_code != 200:
                    failed.append(response.text)
                    return
                version = response.headers["x-saqia-version"]
                with lock:
                    met.append(version)
                if thumb := says.get(version):
                    said = http.post("/v1/feedback", json={"completion_id": response.json()["id"], "thumb": thumb})
                    if said.status_code not in (200, 201):
                        failed.append(said.text)

    threads = [threading.Thread(target=person, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert [what for what, _, _ in running.verdicts] == [until], running.verdicts
    return met


def test_a_bad_one_is_withdrawn_while_people_ask_and_no_request_fails(
    running: Live, base: Path, version_2: Path
) -> None:
    try_out(running, version_2, base)
    met = people(running, {"2": "down"}, "withdrawn")
    assert 3 <= met.count("2") < 60, "long before its answers are used up"
    assert "fails more often" in running.verdicts[0][2]
    with httpx.Client(base_url=running.url, timeout=60) as http:
        assert {version_of(ask(http, f"later {n}")) for n in range(12)} == {"1"}
        assert http.get("/readyz").json()["canary"] is None
    versions = running.runtime.versions
    running.until(lambda: "intake@2" not in versions.names())
    assert versions.champion is not None
    assert versions.champion.version == "1"


def test_a_better_one_is_promoted_early_and_takes_over_without_a_restart(
    running: Live, base: Path, version_2: Path
) -> None:
    try_out(running, version_2, base)
    met = people(running, {"1": "down"}, "promoted")
    assert met.count("2") < 60
    assert "fails less often" in running.verdicts[0][2]
    versions = running.runtime.versions
    running.until(lambda: versions.champion and versions.champion.version == "2")
    with httpx.Client(base_url=running.url, timeout=60) as http:
        assert {version_of(ask(http, f"later {n}")) for n in range(12)} == {"2"}


def test_an_equal_one_is_promoted_when_nothing_spoke_against_it(running: Live, base: Path, version_2: Path) -> None:
    try_out(running, version_2, base)
    met = people(running, {}, "promoted")
    assert met.count("2") >= 60
    assert "nothing spoke against it" in running.verdicts[0][2]


@pytest.mark.parametrize("when", ["at once", "in the end"])
def test_one_that_breaks_is_withdrawn_and_the_champion_answers_instead(
    running: Live, base: Path, version_2: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    try_out(running, version_2, base)
    engine = running.runtime.rollout.engines[0]
    real = engine.submit

    def broken(request: Request) -> None:
        if request.model != "2":
            real(request)
        elif when == "at once":
            raise EngineError("its weights are gone")
        else:
            from serving.engine.interface import Finished

            request.submitted = 0.0
            request.on_event(Finished("", (), "stop", (), error=EngineError("its weights are gone")))

    monkeypatch.setattr(engine, "submit", broken)
    met = people(running, {}, "withdrawn")
    assert set(met) == {"1"}


def test_one_that_cannot_be_loaded_is_withdrawn_with_the_reason(running: Live, base: Path, tmp_path: Path) -> None:
    try_out(running, tmp_path / "nowhere", base)
    assert running.verdicts[0][:2] == ("withdrawn", "2")
    assert "missing" in running.verdicts[0][2]


@pytest.mark.slow
def test_the_real_service_follows_the_registrys_canary_and_writes_the_verdict_there(
    base: Path, version_1: Path, version_2: Path, tmp_path: Path
) -> None:
    workspace.register(version_1, base)
    second = workspace.register(version_2, base, promote=False)
    service = workspace.Service(workspace.make(tmp_path / "project"))
    service.start()
    try:
        registry.try_out("intake", second, 0.5)
        with httpx.Client(base_url=service.url, timeout=60) as http:
            until(lambda: http.get("/readyz").json()["canary"], "the service has taken the canary up")
            for number in range(200):
                response = ask(http, f"user {number}")
                if version_of(response) == second:
                    said = {"completion_id": response.json()["id"], "thumb": "down"}
                    http.post("/v1/feedback", json=said).raise_for_status()
                if registry.canary("intake") is None:
                    break
            until(lambda: http.get("/readyz").json()["canary"] is None, "the trial has ended")
            assert version_of(ask(http, "somebody")) == "1"
        assert "withdrawn as canary: it fails more often" in registry.get("intake", second).history[-1]
    finally:
        service.stop()
