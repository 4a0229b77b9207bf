"""Teaching a base the task: instruction tuning of the local base, adapters on any base."""
