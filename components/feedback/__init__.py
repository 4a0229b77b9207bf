"""What people say about served answers: the store, triage, and the way back into data."""
