"""`python -m models score BUNDLE PAIRS OUT`: score a file of pairs without the service."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from models.errors import BundleError, DeviceError, StoreError, UserError, surroundings

USAGE = "python -m models score BUNDLE PAIRS OUT (see python -m models score --help)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when all is written, 1 with one sentence on stderr for a mistake that the user can correct."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] != ["score"]:
        print(f"usage: {USAGE}", file=sys.stderr)
        return 2
    try:
        try:
            from models.bulk.command import score
        except ImportError as error:
            print(f"score: {error.name} is not installed: pip install 'fitscore[service-cpu,bulk]'", file=sys.stderr)
            return 1
        print(score(words[1:]))
    except (UserError, BundleError, DeviceError, StoreError) as error:
        print(f"score: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("score: stopped; the same command goes on where it was", file=sys.stderr)
        return 130
    except Exception as error:
        if (sentence := surroundings(error)) is None:
            raise
        print(f"score: {sentence}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
