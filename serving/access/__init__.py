"""Who may ask, how much, and under which request id."""
