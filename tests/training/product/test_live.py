"""Which training is the next: pinned until files change after its promotion, and started from what is live."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from models.bundle.files import Bundle
from tests.support.bundles import write_tiny_bundle
from tests.support.product_files import make_shop, shop
from training.errors import UserError
from training.product.live import keep_live, kept_bundle, pin, training_of
from training.product.run import product_run
from training.product.settings import read_settings
from training.product.start import GRAPH, shipped_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_shop(tmp_path, shop(members=20)[0])


def bundle(folder: Path, version: str, seed: int = 0) -> Bundle:
    shutil.rmtree(folder / "bundle", ignore_errors=True)
    return write_tiny_bundle(folder / "bundle", name="shop", version=version, seed=seed)


def go_live(folder: Path, version: str) -> Path:
    """The version is promoted; its copy carries an encoder to start from."""
    kept = keep_live(folder, bundle(folder, version))
    (kept / GRAPH).touch()
    return kept


def add_row(folder: Path) -> None:
    with (folder.parent / "pairs.csv").open("a") as file:
        file.write(f"q1,new query,c{file.tell()},a new lamp,Ilse,3\n")


def pinned(folder: Path) -> tuple[str, str, str]:
    found = pin(folder, read_settings(folder))
    assert training_of(folder, read_settings(folder)) == found
    return found.version, found.encoder, found.live


def edit(folder: Path, before: str, after: str) -> None:
    path = folder / "product.toml"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_a_promotion_alone_changes_nothing_that_was_trained(folder: Path) -> None:
    assert pinned(folder) == ("1", "", "")
    go_live(folder, "1")
    assert pinned(folder) == ("1", "", "")


def test_new_rows_after_a_promotion_begin_the_next_version_from_what_is_live(folder: Path) -> None:
    pinned(folder)
    go_live(folder, "1")
    add_row(folder)
    assert pinned(folder) == ("2", "live/shop-v1", "live/shop-v1")
    run = product_run(folder)
    assert (run.recipe.version, run.live) == ("2", folder / "live/shop-v1")
    assert run.recipe.text.backbone.args == ("live/shop-v1",)  # type: ignore[attr-defined]
    add_row(folder)
    assert pinned(folder) == ("2", "live/shop-v1", "live/shop-v1")
    go_live(folder, "2")
    add_row(folder)
    assert pinned(folder) == ("3", "live/shop-v2", "live/shop-v2")


@pytest.mark.slow
def test_the_next_training_reads_the_encoder_that_the_live_bundle_carries(folder: Path) -> None:
    pinned(folder)
    live = keep_live(folder, Bundle.load(shipped_bundle()))
    add_row(folder)
    run = product_run(folder)
    start = Path(run.resources().model(run.recipe.text.backbone))
    assert (start / "model.safetensors").exists()
    assert (start / "tokenizer.json").read_bytes() == (live / "tokenizer.json").read_bytes()


def test_new_rows_before_a_promotion_keep_the_version(folder: Path) -> None:
    pinned(folder)
    add_row(folder)
    assert pinned(folder) == ("1", "", "")


def test_edited_settings_count_as_new_rows_do_and_a_stated_version_wins(folder: Path) -> None:
    pinned(folder)
    go_live(folder, "1")
    edit(folder, 'version = "1"', 'version = "7"')
    assert pinned(folder) == ("7", "live/shop-v1", "live/shop-v1")


def test_a_configured_bundle_is_live(folder: Path, tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "elsewhere", name="shop", version="4")
    edit(folder, 'live = ""', 'live = "../elsewhere"')
    assert pinned(folder) == ("1", "", "../elsewhere")  # it carries no fp16 encoder to start from
    edit(folder, 'version = "1"', 'version = "4"')
    assert pinned(folder) == ("5", "", "../elsewhere")
    edit(folder, "../elsewhere", "../nowhere")
    with pytest.raises(UserError, match=r"live is '../nowhere'"):
        pinned(folder)


def test_a_version_without_a_number_has_no_next_one(folder: Path) -> None:
    edit(folder, 'version = "1"', 'version = "june"')
    pinned(folder)
    go_live(folder, "june")
    add_row(folder)
    with pytest.raises(UserError, match="version june was live: set another"):
        pinned(folder)


def test_a_damaged_pin_is_named(folder: Path) -> None:
    (folder / "training.json").write_text("{")
    with pytest.raises(UserError, match=r"training\.json is damaged"):
        pinned(folder)


def test_the_copy_of_what_is_live_is_found_by_its_version(folder: Path) -> None:
    settings = read_settings(folder)
    go_live(folder, "1")
    assert kept_bundle(folder, settings, "shop", "1", None) == folder / "live" / "shop-v1"
    with pytest.raises(UserError, match="version 2 is live, and there is no copy of it"):
        kept_bundle(folder, settings, "shop", "2", folder)


def test_a_copy_follows_the_bundle_that_went_live(folder: Path) -> None:
    keep_live(folder, bundle(folder, "1"))
    other = bundle(folder, "1", seed=1)
    assert Bundle.load(keep_live(folder, other)).digest == other.digest
