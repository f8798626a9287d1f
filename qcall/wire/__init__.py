"""What phone and relay both speak, and how both are run; the only part of qcall that the relay may import."""
