"""A task's rows as sets: from its generator, or from the examples that its user brought."""
