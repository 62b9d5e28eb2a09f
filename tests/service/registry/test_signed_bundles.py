"""A service with a signer's key loads only bundles signed with it, in the sandbox and beside the live model."""

from pathlib import Path

import pytest

pytest.importorskip("cryptography", reason="signed bundles need the extra audit")

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from models.errors import BundleError
from service.app import create_app
from service.registry.sandbox import SandboxProcesses, load_in_sandbox
from service.settings import BadSetting, Settings
from tests.support.bundles import write_tiny_bundle
from tests.support.fakes import PATIENT, SMALL_CAPS
from tests.support.service import Serve
from tests.support.signing import public, sign


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture
def shelf(tmp_path: Path, key: Ed25519PrivateKey) -> Path:
    """A key, two versions signed with it, and one that is not."""
    public(key, tmp_path / "key.pem")
    for number in (1, 2, 3):
        write_tiny_bundle(tmp_path / f"tiny-v{number}", seed=number, version=str(number))
    for number in (1, 2):
        sign(tmp_path / f"tiny-v{number}", key)
    return tmp_path


def test_only_signed_versions_become_live(serve: Serve, shelf: Path) -> None:
    client = serve(bundle=shelf / "tiny-v1", signer_file=shelf / "key.pem").client
    assert client.post("/v1/models/2:activate").status_code == 200
    answer = client.post("/v1/models/3:activate")
    assert (answer.status_code, answer.json()["detail"]) == (
        409,
        "the live model stays: tiny-v3/manifest.sig is missing",
    )


def test_the_child_rejects_an_unsigned_bundle_before_it_opens_a_graph(shelf: Path) -> None:
    signed = PATIENT.model_copy(update={"signer_file": shelf / "key.pem"})
    with pytest.raises(BundleError, match=r"tiny-v3/manifest\.sig is missing"):
        load_in_sandbox(shelf / "tiny-v3", signed, SMALL_CAPS, SandboxProcesses())


def test_a_key_that_cannot_be_read_is_a_bad_setting(shelf: Path) -> None:
    settings = Settings.model_validate({"bundle": shelf / "tiny-v1", "signer_file": shelf / "none.pem"})
    with pytest.raises(BadSetting, match=r"^FITSCORE_SIGNER_FILE: .*none\.pem cannot be read"):
        create_app(settings)
