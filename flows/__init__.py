"""WHEN things happen: Prefect flows, deployments and the `saqia` command. No machine learning here."""
