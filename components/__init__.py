"""What Saqia does: plain functions over files, frames and models.

Nothing in here knows Prefect or HTTP. Importing this package also makes sure that
nothing phones home: the libraries below report usage to their makers unless told
not to *before* they are imported, so the defaults are set here, where every entry
point passes. A user's own environment variable always wins.
"""

import os

QUIET = {
    "BENTOML_DO_NOT_TRACK": "True",
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # Not telemetry, but likewise read at import: how long an idle thread spins before it sleeps. Not at all slows
    # short operations on quiet cores, long steals from others (docs/how-to/configure.md).
    "GOMP_SPINCOUNT": "50000",
    "TOKENIZERS_PARALLELISM": "false",
}

for _name, _value in QUIET.items():
    os.environ.setdefault(_name, _value)
