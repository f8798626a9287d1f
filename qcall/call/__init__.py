"""One call as a state table."""
