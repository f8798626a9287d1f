"""qcall/1: how two phones agree on keys. Pure: time and random bytes are arguments."""
