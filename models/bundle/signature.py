"""A bundle's detached signature: Ed25519 over the bytes of its manifest, which holds the digest of each file.

`openssl pkeyutl -sign -rawin -inkey key.pem -in manifest.json -out manifest.sig` makes one. The package model-signing
would bring sigstore and pyOpenSSL into the service.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

from models.errors import BundleError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class BadSigner(Exception):
    """The public key cannot be used; the sentence names its file."""


class TrustedSigner:
    """The signer whose bundles the service accepts."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key

    @classmethod
    def read(cls, path: Path) -> Self:
        """The signer of a public key in PEM. Raises BadSigner."""
        try:
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
            from cryptography.hazmat.primitives.serialization import load_pem_public_key
        except ImportError:
            raise BadSigner("signed bundles need the package cryptography: install fitscore[audit]") from None
        try:
            key = load_pem_public_key(path.read_bytes())
        except OSError as error:
            raise BadSigner(f"{path} cannot be read: {error.strerror}") from None
        except Exception:  # not PEM, damaged, or of an unknown kind: each has its own exception
            raise BadSigner(f"{path} is not a public key in PEM") from None
        if not isinstance(key, Ed25519PublicKey):
            raise BadSigner(f"{path} is not an Ed25519 key")
        return cls(key)

    def check(self, signed: bytes, signature: bytes, name: Path) -> None:
        """Raise BundleError, naming the signature's file, unless this signer signed these bytes."""
        from cryptography.exceptions import InvalidSignature

        try:
            self._key.verify(signature, signed)
        except InvalidSignature:
            raise BundleError(f"{name} is not the trusted signer's signature of this manifest") from None
