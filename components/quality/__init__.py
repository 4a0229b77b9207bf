"""The Great Expectations gate: may these rows be taught?"""
