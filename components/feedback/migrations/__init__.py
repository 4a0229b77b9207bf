"""Alembic migrations of the feedback store, applied when it is opened. Append only: a released one never changes."""
