"""What phone and relay both speak; the only part of qcall that the relay may import."""
