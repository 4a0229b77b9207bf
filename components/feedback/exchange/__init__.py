"""Feedback as files: out to other tools and back, each row once however often a file is read."""
