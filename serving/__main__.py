"""`python -m serving`: BentoML with the settings that this service needs.

Binds 127.0.0.1 unless told otherwise; the address and port come from the flags, else from
SAQIA_HOST and SAQIA_PORT.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from pathlib import Path

from components import config


def main() -> None:
    """Check what can be checked at once, then become the BentoML process."""
    places = config.places()
    parser = argparse.ArgumentParser(prog="python -m serving", description="Serve the champion over HTTP.")
    parser.add_argument("--host", default=places.host)
    parser.add_argument("--port", type=int, default=places.port)
    arguments = parser.parse_args()
    try:
        config.load()
        _port_is_free(arguments.host, arguments.port)
    except (config.ConfigError, OSError) as error:
        sys.exit(f"serving: {error}")
    os.environ.update(places.as_env())
    os.environ.setdefault("BENTOML_HOME", str(places.home / "bentoml"))
    os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", _metrics_folder(places.home, arguments.port))
    command = [sys.executable, "-m", "bentoml", "serve", "serving.service:Saqia", "--working-dir", str(Path.cwd())]
    command += ["--host", arguments.host, "--port", str(arguments.port)]
    os.execv(sys.executable, command)


def _metrics_folder(home: Path, port: int) -> str:
    folder = home / "metrics" / str(port)
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.db"):
        stale.unlink()
    return str(folder)


def _port_is_free(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OSError(
                f"{host}:{port} cannot be used ({error.strerror}); stop what listens there or pass --port"
            ) from None


if __name__ == "__main__":
    main()
