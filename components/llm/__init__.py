"""Other people's models: one client for every OpenAI-compatible endpoint, and what is asked of them."""
