"""`python -m service.audit verify|replay FOLDER`: whether the log is whole, and whether its scores come out again."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from models.errors import BundleError
from service.audit.encryption import CannotSeal
from service.audit.record import AuditKeys, BadLine
from service.audit.replay import replay, texts_of
from service.audit.segments import verify


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 when all is well, 1 when the log was changed or a score differs, 2 when it can't be told."""
    options = _parse(argv)
    try:
        keys = AuditKeys.of(options.key.read_bytes().strip())
        first, last, head = verify(options.folder, keys.chain)
        print(f"whole: lines {first} to {last}, ending with {head}")
        if options.head and options.head != head:
            print("the log ends elsewhere than it should: lines are missing at its end, or were added", file=sys.stderr)
            return 1
        return _replay(options, keys) if options.command == "replay" else 0
    except BadLine as fault:
        print(f"fitscore: {fault}", file=sys.stderr)
        return 1
    except (OSError, BundleError, CannotSeal) as error:
        print(f"fitscore: {error}", file=sys.stderr)
        return 2


def _replay(options: argparse.Namespace, keys: AuditKeys) -> int:
    texts = texts_of(options.texts, keys) if options.texts else {}
    done = replay(options.folder, keys, options.models, texts, every=options.every)
    print(f"{done.identical} pairs identical, {done.different} different (by {done.largest:.2g} at most),")
    print(f"{done.without_text} whose text is not known here")
    for request in done.requests[:10]:
        print(f"  different: request {request}")
    return int(done.largest > options.tolerance or (done.different > 0 and options.tolerance == 0))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m service.audit", description=__doc__)
    parser.add_argument("command", choices=("verify", "replay"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--key", type=Path, required=True, help="file with the secret that the log was written with")
    parser.add_argument("--head", help="the mac that the last line must have, from the service's own log")
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of the bundles")
    parser.add_argument("--texts", type=Path, help="JSON lines of texts or fields, where the log has digests alone")
    parser.add_argument("--every", type=int, default=1, help="replay each so manieth line")
    parser.add_argument("--tolerance", type=float, default=0.0, help="0: bit for bit")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
