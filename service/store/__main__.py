"""`python -m service.store keep BUNDLE...`: drop the slots of every other model from the store of FITSCORE_STORE.

May run beside the service. A running service evicts such slots from its memory by itself.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from models.bundle.files import Bundle
from models.errors import BundleError, StoreError
from models.loading import graph_key
from service.settings import BadSetting, read_settings
from service.store.factory import open_store


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 when done, 1 with one line on stderr for a bundle or store error, 2 for a bad setting."""
    parser = argparse.ArgumentParser(prog="python -m service.store", description=__doc__)
    parser.add_argument("command", choices=["keep"])
    parser.add_argument("bundles", type=Path, nargs="+", metavar="BUNDLE")
    options = parser.parse_args(arguments)
    try:
        models = [key for path in options.bundles for key in keys_of(Bundle.load(path))]
        store = open_store(read_settings(os.environ).store)
        print(f"dropped the slots of {store.keep_only(models)} candidates")
        store.close()
    except BadSetting as error:
        return _end(2, error)
    except (BundleError, StoreError) as error:
        return _end(1, error)
    return 0


def keys_of(bundle: Bundle) -> list[bytes]:
    """Keys of the bundle's candidate graphs, for any device. Raises BundleError when it has none."""
    found = [graph_key(bundle, graph) for graph in bundle.manifest.graphs if graph.part == "candidate"]
    if not found:
        raise BundleError(f"{bundle.path} keeps no slots: its model reads member and candidate together")
    return found


def _end(code: int, error: Exception) -> int:
    print(f"fitscore: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
