"""Opening a store imports only the client of its own back end."""

import subprocess
import sys

import pytest

OPEN = """
import sys
from service.settings import StoreSettings
from service.store.factory import open_store
open_store(StoreSettings.model_validate({{"store": "{url}"}})).close()
sys.exit("redis" in sys.modules)
"""


@pytest.mark.process
@pytest.mark.parametrize(("url", "imported"), [("memory", False), ("redis://127.0.0.1:1/0", True)])
def test_the_client_of_redis_is_imported_only_for_redis(url: str, imported: bool) -> None:
    done = subprocess.run([sys.executable, "-c", OPEN.format(url=url)], check=False)
    assert done.returncode == imported
