"""From raw rows to what is taught and what is locked away as a test; every dropped row keeps its reason."""
