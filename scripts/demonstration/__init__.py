"""The demonstration: one relay and two phones as programs, an attacker who owns the relay, and a report."""
