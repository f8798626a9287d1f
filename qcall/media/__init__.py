"""Voice: encode, transport, playout, devices, quality."""
