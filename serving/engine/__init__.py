"""Engines: prompts as token ids in, tokens out, behind the interface of `interface.py`."""
