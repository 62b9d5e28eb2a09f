"""Signatures: with a key, only what its owner signed is loaded; anything else is refused by name."""

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


def test_a_bundle_that_the_signer_signed_is_loaded(bundle: Path, key: Ed25519PrivateKey, signer: TrustedSigner) -> None:
    sign(bundle, key)
    assert Bundle.load(bundle, signer).manifest.name == "tiny"


def test_a_signature_is_no_fault_where_no_key_is_known(bundle: Path, key: Ed25519PrivateKey) -> None:
    sign(bundle, key)
    assert Bundle.load(bundle).manifest.name == "tiny"


def test_an_unsigned_bundle_is_refused_by_name(bundle: Path, signer: TrustedSigner) -> None:
    with pytest.raises(BundleError, match=r"tiny/manifest\.sig is missing"):
        Bundle.load(bundle, signer)


def test_a_bundle_that_somebody_else_signed_is_refused_by_name(bundle: Path, signer: TrustedSigner) -> None:
    sign(bundle, Ed25519PrivateKey.generate())
    with pytest.raises(BundleError, match=r"tiny/manifest\.sig is not the trusted signer's signature"):
        Bundle.load(bundle, signer)


def test_a_signature_does_not_hold_for_another_manifest(
    bundle: Path, key: Ed25519PrivateKey, signer: TrustedSigner
) -> None:
    sign(bundle, key)
    other = bundle.with_name("other")
    write_tiny_bundle(other, version="2")
    (bundle / MANIFEST_SIGNATURE).rename(other / MANIFEST_SIGNATURE)
    with pytest.raises(BundleError, match=r"other/manifest\.sig is not the trusted signer's signature"):
        Bundle.load(other, signer)


@pytest.mark.parametrize("signature", [b"", b"x" * 63, b"x" * 64, b"x" * 65])
def test_what_is_no_signature_is_refused(bundle: Path, signer: TrustedSigner, signature: bytes) -> None:
    (bundle / MANIFEST_SIGNATURE).write_bytes(signature)
    with pytest.raises(BundleError, match="is not the trusted signer's signature"):
        Bundle.load(bundle, signer)


def test_a_key_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSigner, match=r"none\.pem cannot be read"):
        TrustedSigner.read(tmp_path / "none.pem")
    (tmp_path / "odd.pem").write_text("not a key")
    with pytest.raises(BadSigner, match=r"odd\.pem is not a public key in PEM"):
        TrustedSigner.read(tmp_path / "odd.pem")
    with pytest.raises(BadSigner, match=r"other\.pem is not an Ed25519 key"):
        TrustedSigner.read(public(X25519PrivateKey.generate(), tmp_path / "other.pem"))


def test_what_openssl_signs_is_loaded(bundle: Path, tmp_path: Path) -> None:
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
