"""A full disk takes no writes and says so; everything that is stored can still be read, also after a restart.

The disk is a tmpfs of a few MiB in a mount namespace of a child process.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.errors import NoRoom
from models.slots.codec import Slots, content_key, model_key
from service.errors import StoreFull
from service.settings import StoreSettings
from service.store.factory import Store, open_store
from service.store.writes import BoundedWriter

pytestmark = pytest.mark.process
ROOT = Path(__file__).parents[3]
MANY = 2000
TEXT = "wireless optical mouse with a usb receiver " * 200
IDS = [f"p{number}" for number in range(10)]
KEYS = [content_key(model_key(b"graph"), each) for each in IDS]
SLOTS: Slots = np.ones((4, 384), dtype=np.float16)


def error_of(call: Callable[[], object]) -> str:
    """The error that a call ends with, and its message; "" without one."""
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def until_it_fails(call: Callable[[int], object]) -> str:
    return next(filter(None, (error_of(lambda: call(number)) for number in range(MANY))), "")  # noqa: B023


def opened(folder: Path) -> Store:
    return open_store(StoreSettings.model_validate({"store": f"lmdb:{folder}"}))


def readable(store: Store) -> dict[str, int]:
    """How many of the first ten texts and slots a store finds; memory in front of it does not help."""
    assert store.durable is not None
    return {
        "texts": sum(content is not None for content in store.texts.get_many(IDS)),
        "slots": sum(slots is not None for slots in store.durable.get_many(KEYS)),
    }


def play(folder: Path) -> dict[str, object]:
    """Fill a small disk through a store, and report each step."""
    import asyncio

    store = opened(folder)
    store.texts.put(dict.fromkeys(IDS, TEXT))
    store.slots.put_many(dict.fromkeys(KEYS, SLOTS))
    writer = BoundedWriter(store.texts)
    filled = until_it_fails(lambda number: store.texts.put({f"more-{number}": TEXT}))
    seen: dict[str, object] = {"filled": filled}
    seen["put"] = error_of(lambda: asyncio.run(writer.put({"large": TEXT * 200}, None)))
    store.slots.put_many({content_key(model_key(b"graph"), str(n)): SLOTS for n in range(1000)})
    store.maintain()
    seen["read"] = readable(store)
    seen["up"] = store.report().up
    store.close()
    store = opened(folder)
    seen["read again"] = readable(store)
    store.close()
    return seen


@pytest.fixture
def report(tmp_path: Path) -> dict[str, object]:
    unshare = shutil.which("unshare")
    command = f"mount -t tmpfs -o size=5m tmpfs {tmp_path} && {sys.executable} -m {__name__} {tmp_path}/store"
    if unshare is None:
        pytest.skip("needs unshare (util-linux)")
    done = subprocess.run([unshare, "-Urm", "sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip("this machine lets no user mount a tmpfs")
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_full_disk_refuses_writes_and_is_read_on(report: dict[str, object]) -> None:
    full = "the disk of the store is full"
    assert report["filled"] == f"{NoRoom.__name__}: {full}"
    assert report["put"] == f"{StoreFull.__name__}: {full}"
    assert report["read"] == {"texts": 10, "slots": 10}
    assert report["up"] is True
    assert report["read again"] == {"texts": 10, "slots": 10}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(play(Path(sys.argv[1]))) + "\n")
