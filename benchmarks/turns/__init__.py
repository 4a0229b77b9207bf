"""The proof that the wheel keeps turning: `python -m benchmarks.turns`."""
