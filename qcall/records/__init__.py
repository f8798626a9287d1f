"""What the phone remembers: contacts, pinned identities, consumed IDs, history (SQLite)."""
