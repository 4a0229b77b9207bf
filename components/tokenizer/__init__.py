"""Byte-level BPE for the local base."""
