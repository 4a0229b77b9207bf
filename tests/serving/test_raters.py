from __future__ import annotations

from pathlib import Path

import httpx

from components.feedback import keys
from tests.serving.kills import ANSWER, add_answer
from tests.serving.live import Live


def test_nobody_speaks_for_a_trusted_person_but_their_own_key_or_a_reviewers(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'saqia.db'}"
    add_answer(url)
    live = Live(url, None, curate={"trusted_raters": ["ann"]}, api_keys="always")
    try:
        store = live.runtime.store
        made = {name: keys.create(store.engine, name, [scope]) for name, scope in
                (("ann", "use"), ("mallory", "use"), ("rita", "review"))}  # fmt: skip
        live.runtime.keys.forget()

        def say(by: str, **more: str) -> httpx.Response:
            body = {"completion_id": ANSWER, "thumb": "up", **more}
            headers = {"Authorization": f"Bearer {made[by][1]}"}
            return httpx.post(f"{live.url}/v1/feedback", json=body, headers=headers, timeout=60)

        refused = say("mallory", rater="ann")
        assert refused.status_code == 403
        assert refused.json()["error"]["param"] == "rater"
        assert [say(*said).status_code for said in (("ann",), ("mallory",))] == [200, 200]
        assert say("rita", rater="ann").status_code == 200
        stored = [(event.rater, event.key) for event in store.feedback_for(ANSWER)]
        assert stored == [("ann", made["ann"][0].id), ("mallory", made["mallory"][0].id), ("ann", made["rita"][0].id)]
    finally:
        live.close()
