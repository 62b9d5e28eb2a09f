"""With a trusted key, only bundles signed by its owner load; others are rejected with the file name."""

import subprocess
from pathlib import Path

import pytest

pytest.importorskip("cryptography", reason="signed bundles need the extra audit")

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from models.bundle.files import MANIFEST, MANIFEST_SIGNATURE, Bundle
from models.bundle.signature import BadSigner, TrustedSigner
from models.errors import BundleError
from tests.support.bundles import write_tiny_bundle
from tests.support.signing import public, sign


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture
def signer(key: Ed25519PrivateKey, tmp_path: Path) -> TrustedSigner:
    return TrustedSigner.read(public(key, tmp_path / "key.pem"))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_tiny_bundle(tmp_path / "tiny")
    return tmp_path / "tiny"


def test_a_bundle_of_the_trusted_signer_loads(bundle: Path, key: Ed25519PrivateKey, signer: TrustedSigner) -> None:
    sign(bundle, key)
    assert Bundle.load(bundle, signer).manifest.name == "tiny"


def test_without_a_trusted_key_a_signed_bundle_loads(bundle: Path, key: Ed25519PrivateKey) -> None:
    sign(bundle, key)
    assert Bundle.load(bundle).manifest.name == "tiny"


def test_an_unsigned_bundle_is_rejected_by_name(bundle: Path, signer: TrustedSigner) -> None:
    with pytest.raises(BundleError, match=r"tiny/manifest\.sig is missing"):
        Bundle.load(bundle, signer)


def test_a_bundle_of_another_signer_is_rejected_by_name(bundle: Path, signer: TrustedSigner) -> None:
    sign(bundle, Ed25519PrivateKey.generate())
    with pytest.raises(BundleError, match=r"tiny/manifest\.sig is not the trusted signer's signature"):
        Bundle.load(bundle, signer)


def test_a_signature_is_invalid_for_another_manifest(
    bundle: Path, key: Ed25519PrivateKey, signer: TrustedSigner
) -> None:
    sign(bundle, key)
    other = bundle.with_name("other")
    write_tiny_bundle(other, version="2")
    (bundle / MANIFEST_SIGNATURE).rename(other / MANIFEST_SIGNATURE)
    with pytest.raises(BundleError, match=r"other/manifest\.sig is not the trusted signer's signature"):
        Bundle.load(other, signer)


@pytest.mark.parametrize("signature", [b"", b"x" * 63, b"x" * 64, b"x" * 65])
def test_a_malformed_signature_is_rejected(bundle: Path, signer: TrustedSigner, signature: bytes) -> None:
    (bundle / MANIFEST_SIGNATURE).write_bytes(signature)
    with pytest.raises(BundleError, match="is not the trusted signer's signature"):
        Bundle.load(bundle, signer)


def test_an_unusable_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSigner, match=r"none\.pem cannot be read"):
        TrustedSigner.read(tmp_path / "none.pem")
    (tmp_path / "odd.pem").write_text("not a key")
    with pytest.raises(BadSigner, match=r"odd\.pem is not a public key in PEM"):
        TrustedSigner.read(tmp_path / "odd.pem")
    with pytest.raises(BadSigner, match=r"other\.pem is not an Ed25519 key"):
        TrustedSigner.read(public(X25519PrivateKey.generate(), tmp_path / "other.pem"))


def test_a_bundle_signed_by_openssl_loads(bundle: Path, tmp_path: Path) -> None:
    private, known = tmp_path / "private.pem", tmp_path / "public.pem"
    try:
        for line in (
            f"genpkey -algorithm ed25519 -out {private}",
            f"pkey -in {private} -pubout -out {known}",
            f"pkeyutl -sign -rawin -inkey {private} -in {bundle / MANIFEST} -out {bundle / MANIFEST_SIGNATURE}",
        ):
            subprocess.run(["openssl", *line.split()], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl here")
    assert Bundle.load(bundle, TrustedSigner.read(known)).manifest.name == "tiny"
