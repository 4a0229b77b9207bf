"""A small Llama from scratch: the embedded stand-in for a downloaded base."""
