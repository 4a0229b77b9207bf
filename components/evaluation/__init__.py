"""Candidate against champion, example by example, and the verdict."""
