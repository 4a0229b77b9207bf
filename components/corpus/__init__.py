"""Pre-training text and instruction examples for the local base."""
