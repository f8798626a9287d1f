"""The modelled fibre path: what a datagram between two sites goes through."""
