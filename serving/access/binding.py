"""From where the service can be reached, and what it takes to be reached from elsewhere."""

from __future__ import annotations

import ipaddress
from functools import lru_cache


class Exposed(RuntimeError):
    """The service would be reachable from other machines with nobody asked for a key."""


@lru_cache(maxsize=256)
def is_loopback(host: str | None) -> bool:
    """Does only this machine reach the address? Names other than localhost are taken as reachable."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def check(host: str, port: int) -> None:
    """Refuse an address that others reach while no key exists.

    Raises:
        Exposed: with what to do.
        StoreError: the keys cannot be read.
    """
    if is_loopback(host):
        return
    from components.feedback import keys
    from components.feedback.store import Store

    with Store() as store:
        if not keys.live(store.engine):
            raise Exposed(
                f"{host}:{port} can be reached from other machines, and there is no API key: "
                "make one with `saqia keys create NAME`, or bind 127.0.0.1"
            )
