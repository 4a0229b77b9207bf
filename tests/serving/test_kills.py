from __future__ import annotations

import asyncio
from pathlib import Path

from tests.serving.kills import Clients, add_answer, kept, under_kills


def test_every_acknowledged_event_is_there_exactly_once_after_the_service_was_killed_under_load(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'saqia.db'}"
    add_answer(url)
    clients = Clients()
    asyncio.run(under_kills(url, times=3, count=8, clients=clients))
    found = kept(url)
    assert len(clients.acknowledged) >= 3 * 8
    assert len(set(clients.acknowledged)) == len(clients.acknowledged)
    assert {key: found[key] for key in clients.acknowledged if found[key] != 1} == {}
    assert set(found) == clients.sent, "what was not acknowledged was sent again, and is there once, too"
    assert max(found.values()) == 1
