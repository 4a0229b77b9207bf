"""The default task: a patient's message becomes a structured intake note."""
