"""Primitives behind narrow wrappers: KEMs, signatures, the key-derivation table, secrets.

- ``secret``    the type in which keys travel
- ``kdf``    H, HKDF, MACs and every label of the protocol
- ``kem`` ``liboqs``    ML-KEM, and a second provider with further KEMs
- ``x25519`` ``aead``    key exchange and the counter-nonce box
- ``identity`` ``identity_file``    Ed25519 and ML-DSA together, and how they are kept
- ``passphrase`` ``backup_file``    keys on a disk
"""
