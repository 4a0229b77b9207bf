"""OpenAI's HTTP API over an engine, and feedback on what it answered."""
