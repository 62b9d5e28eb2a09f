"""Keys and signatures of bundles."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from models.bundle.files import MANIFEST, MANIFEST_SIGNATURE


def public(key: Ed25519PrivateKey | X25519PrivateKey, path: Path) -> Path:
    path.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


def sign(bundle: Path, key: Ed25519PrivateKey) -> None:
    (bundle / MANIFEST_SIGNATURE).write_bytes(key.sign((bundle / MANIFEST).read_bytes()))
