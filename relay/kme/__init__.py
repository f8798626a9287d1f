"""Key nodes: ETSI GS QKD 014 service and its store. The quantum layer behind it is simulated."""
