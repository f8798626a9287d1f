"""What the phone speaks to the relay: signalling and its key node."""
