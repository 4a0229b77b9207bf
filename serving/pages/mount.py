from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI


def create_app(runtime: Callable[[], object]) -> FastAPI:
    return FastAPI()
