"""Versions in a real MLflow on SQLite: registered once, found by alias, moved, fetched and proven whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from components import layout, registry
from components.config import ChampionReference, Settings, TurnSettings
from components.files import sha256_of
from components.models import ModelError, tensor_hash
from components.registry.__main__ import main as champion_stage
from components.schema import Verdict
from tests.components.evaluation.conftest import World

PROMOTE = Verdict(decision="promote", reasons=("better",), comparisons=(), confidence=0.95, delta=0.02)
FIRST = PROMOTE.model_copy(update={"decision": "first"})
REFUSE = PROMOTE.model_copy(update={"decision": "refuse", "reasons": ("no proven gain",)})


def lineage(lock: str = "stages: {}\n") -> registry.Lineage:
    import hashlib

    return registry.Lineage(
        git_commit="a" * 40,
        dvc_lock=lock,
        dvc_lock_sha256=hashlib.sha256(lock.encode()).hexdigest(),
        params="seed: 1\n",
    )


def register(world: World, which: Path, verdict: Verdict = PROMOTE, lock: str = "stages: {}\n") -> registry.Version:
    return registry.register(which, world.base, verdict, lineage(lock))


def test_before_the_first_version_there_is_no_champion_and_nothing_fails(world: World) -> None:
    assert registry.champion("toy") is None
    assert registry.versions("toy") == []
    with pytest.raises(registry.RegistryError, match="toy has no version 1; versions: none"):
        registry.get("toy", "1")


def test_a_version_keeps_its_verdict_and_its_lineage(world: World) -> None:
    made = register(world, world.champion, FIRST)
    found = registry.get("toy", "1")
    assert found == made
    assert (found.version, found.aliases, found.verdict, found.lineage) == ("1", ("candidate",), FIRST, lineage())
    assert found.sha256 == tensor_hash(world.champion)
    assert found.base_uri == "models:/saqia-base/1"


def test_registering_the_same_again_returns_the_same_version(world: World) -> None:
    first = register(world, world.champion)
    assert register(world, world.champion) == first
    again = register(world, world.champion, lock="stages: {other: {}}\n")
    assert [first.version, again.version] == ["1", "2"], "the same weights from other inputs are another version"
    assert len(registry.versions("toy")) == 2


def test_what_a_killed_registration_left_is_completed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def dies(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("components.registry.registration._create", dies)
        with pytest.raises(Killed):
            register(world, world.champion)
    assert registry.versions("toy") == []
    assert register(world, world.champion).version == "1"
    experiment = registry.experiment("toy")
    assert len(registry.client().search_logged_models([experiment])) == 1, "the uploaded model was used, not doubled"


def test_promotion_and_rollback_move_the_aliases_together(world: World) -> None:
    one = register(world, world.champion, FIRST)
    registry.promote("toy", one.version)
    two = register(world, world.good)
    assert registry.get("toy", "candidate").version == "2"
    registry.promote("toy", two.version)
    champion, previous = registry.champion("toy"), registry.previous("toy")
    assert champion is not None
    assert previous is not None
    assert (champion.version, previous.version, registry.candidate("toy")) == ("2", "1", None)
    assert registry.rollback("toy").version == "1"
    assert registry.get("toy", "previous").version == "2"
    assert registry.rollback("toy").version == "2", "a second rollback undoes the first"
    assert "brought back by a person in place of version 1" in registry.get("toy", "2").history[-1]


def test_a_canary_is_tried_beside_the_champion_and_promoted_or_withdrawn(world: World) -> None:
    one = register(world, world.champion, FIRST)
    with pytest.raises(registry.RegistryError, match="no champion that a canary could be compared with"):
        registry.try_out("toy", one.version, 0.1)
    registry.promote("toy", one.version)
    with pytest.raises(registry.RegistryError, match="version 1 of toy is the champion"):
        registry.try_out("toy", one.version, 0.1)
    two = register(world, world.good)
    tried = registry.try_out("toy", two.version, 0.1)
    assert "canary" in tried.aliases
    assert tried.trial is not None
    assert tried.trial.share == 0.1
    assert registry.try_out("toy", two.version, 0.1) == tried, "the same again goes on with the trial"
    wider = registry.try_out("toy", two.version, 0.2)
    assert wider.trial is not None
    assert wider.trial.id != tried.trial.id, "another share is another trial"
    champion = registry.champion("toy")
    assert champion is not None
    assert champion.version == "1"

    withdrawn = registry.refuse("toy", two.version, "withdrawn as canary: it fails more often")
    assert (withdrawn.aliases, withdrawn.trial, registry.canary("toy")) == ((), None, None)
    assert "fails more often" in withdrawn.history[-1]

    registry.try_out("toy", two.version, 0.1)
    promoted = registry.promote("toy", two.version, by="its canary")
    assert promoted.aliases == ("champion",)
    assert registry.canary("toy") is None


def test_promoting_the_champion_again_changes_nothing(world: World) -> None:
    register(world, world.champion, FIRST)
    once = registry.promote("toy", "1")
    assert registry.promote("toy", "1") == once
    assert registry.previous("toy") is None


def test_there_is_nothing_to_roll_back_to_at_first(world: World) -> None:
    register(world, world.champion, FIRST)
    registry.promote("toy", "1")
    with pytest.raises(registry.RegistryError, match="no previous champion"):
        registry.rollback("toy")


def test_a_killed_move_is_finished_by_the_next_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    register(world, world.champion, FIRST)
    registry.promote("toy", "1")
    register(world, world.good)
    client = registry.client()
    real = client.set_registered_model_alias

    def dies_at_previous(name: str, alias: str, version: str) -> None:
        if alias == "previous":
            raise KeyboardInterrupt
        real(name, alias, version)

    with monkeypatch.context() as patched:
        patched.setattr(client, "set_registered_model_alias", dies_at_previous)
        with pytest.raises(KeyboardInterrupt):
            registry.promote("toy", "2")
    assert "promoted by" in registry.get("toy", "2").history[-1], "the reason is there before the aliases move"
    assert registry.rollback("toy").version == "1", "the half-done promotion was completed, then undone"
    assert sum("promoted by" in line for line in registry.get("toy", "2").history) == 1
    assert registry.get("toy", "previous").version == "2"


def test_a_refused_version_stays_with_its_reasons_and_can_be_promoted_by_hand(world: World) -> None:
    register(world, world.champion, FIRST)
    registry.promote("toy", "1")
    refused = register(world, world.good, REFUSE)
    assert refused.aliases == ()
    assert registry.candidate("toy") is None
    assert registry.get("toy", "2").verdict.reasons == ("no proven gain",)
    promoted = registry.promote("toy", "2", by="anna")
    assert promoted.aliases == ("champion",)
    assert promoted.history[-1].endswith("promoted by anna against the verdict")


def test_a_person_can_refuse_a_candidate_but_not_the_champion(world: World) -> None:
    register(world, world.champion, FIRST)
    refused = registry.refuse("toy", "1", "wrong tone")
    assert refused.aliases == ()
    assert refused.history[-1].endswith("refused: wrong tone")
    registry.promote("toy", "1")
    with pytest.raises(registry.RegistryError, match="serves now"):
        registry.refuse("toy", "1", "late doubts")


def test_a_fetched_version_is_the_registered_one_and_the_second_fetch_needs_no_registry(
    world: World, tmp_path: Path
) -> None:
    made = register(world, world.champion)
    registry.fetch(made, tmp_path / "fetched")
    assert sha256_of(tmp_path / "fetched") == sha256_of(world.champion)
    artifacts = next((tmp_path / "artifacts").rglob("adapter_model.safetensors"))
    artifacts.unlink()
    assert sha256_of(registry.local_version(made)) == sha256_of(world.champion)


def test_a_corrupted_artifact_is_refused_and_nothing_is_left_behind(world: World, tmp_path: Path) -> None:
    made = register(world, world.champion)
    artifact = next((tmp_path / "artifacts").rglob("adapter_model.safetensors"))
    content = bytearray(artifact.read_bytes())
    content[-1] ^= 1
    artifact.write_bytes(content)
    with pytest.raises(registry.RegistryError, match="version 1 of toy is damaged in the registry"):
        registry.fetch(made, tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()


def test_a_corrupted_cache_is_fetched_again(world: World) -> None:
    made = register(world, world.champion)
    cached = registry.local_version(made)
    (cached / "golden.json").write_text("{}")
    assert sha256_of(registry.local_version(made)) == made.files_sha256


def test_an_adapter_changed_after_training_is_not_registered(world: World, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(world.champion, tmp_path / "changed")
    shutil.copy(world.good / "adapter_model.safetensors", tmp_path / "changed" / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="damaged"):
        register(world, tmp_path / "changed")
    assert registry.versions("toy") == []


def test_the_champion_stage_brings_the_version_that_params_name(world: World) -> None:
    made = register(world, world.champion)
    settings = Settings(task="toy")
    champion_stage(settings)
    assert json.loads((layout.CHAMPION / "none.json").read_text())["champion"] is None
    named = TurnSettings(champion=ChampionReference(version="1", sha256=made.sha256))
    champion_stage(settings.model_copy(update={"turn": named}))
    assert sha256_of(layout.CHAMPION) == made.files_sha256
    assert registry.local_base(made).exists()
    wrong = TurnSettings(champion=ChampionReference(version="1", sha256="0" * 64))
    with pytest.raises(registry.RegistryError, match=r"params\.yaml is of another registry"):
        champion_stage(settings.model_copy(update={"turn": wrong}))


def test_mlflow_alone_loads_the_champion_and_answers_in_any_folder(world: World, tmp_path: Path) -> None:
    register(world, world.good)
    registry.promote("toy", "1")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    program = (
        "import mlflow, pandas; m = mlflow.pyfunc.load_model('models:/toy@champion')\n"
        "chat = [{'role': 'user', 'content': 'i saw w21'}]\n"
        "print([m.predict(['i saw w21', 'what is w3']), m.predict(chat), m.predict([chat]),"
        " m.predict(pandas.DataFrame({'messages': [chat]})), m.predict(pandas.DataFrame({'text': ['i saw w21']}))])\n"
    )
    env = {k: v for k, v in os.environ.items() if k != "SAQIA_HOME"} | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=elsewhere,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    both, *one = eval(done.stdout.strip().splitlines()[-1])
    from tests.components.evaluation import toy

    assert both == [toy.truth("w21"), toy.truth("w3")]
    assert one == [[toy.truth("w21")]] * 4
    assert list(elsewhere.iterdir()) == []


@pytest.mark.slow
def test_processes_that_open_a_new_store_at_the_same_time_all_succeed(tmp_path: Path) -> None:
    program = "from components import registry; registry.experiment('x'); print(registry.versions('toy'))"
    env = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    ended = [p.communicate(timeout=300) for p in started]
    assert [out.strip() for out, _ in ended] == ["[]"] * 4, [err[-2000:] for _, err in ended]


def test_lineage_is_read_from_the_lock_and_the_parameters(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(
        f"turn: {{snapshots: [{{through: 7, sha256: {'b' * 64}, votes: {{through: 2, sha256: {'d' * 64}}}}}]}}\n"
    )
    (tmp_path / "dvc.lock").write_text(
        "stages:\n  curate:\n    outs:\n    - {path: data/toy/curated, md5: abc.dir}\n"
        "    - {path: reports/x.json, md5: d}\n"
    )
    found = registry.lineage_of(tmp_path, "c" * 40, {"prefect": "run"})
    assert found.datasets == {"data/toy/curated": "abc.dir"}
    assert found.snapshots[0].through == 7
    assert found.snapshots[0].votes is not None
    assert found.snapshots[0].votes.through == 2
    with pytest.raises(registry.RegistryError, match="is missing: run the pipeline first"):
        registry.lineage_of(tmp_path / "empty")
