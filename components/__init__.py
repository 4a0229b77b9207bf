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
    # Not telemetry, but likewise read at import: idle threads that spin steal time
    # from the other stages on a shared machine (0.94 s -> 0.68 s a step on two cores).
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
}

for _name, _value in QUIET.items():
    os.environ.setdefault(_name, _value)
