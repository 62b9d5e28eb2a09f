"""`python -m service.audit verify|replay FOLDER`: checks that the log is unchanged, and that its scores reproduce."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from models.audit.lines import AuditKeys, BadLine
from models.audit.sealed import CannotEncrypt
from models.errors import BundleError
from service.audit.replay import replay, texts_of
from service.audit.segments import verify


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0 when all is well, 1 when the log was changed or a score differs, 2 when a file cannot be read."""
    options = _parse(argv)
    try:
        keys = AuditKeys.of(options.key.read_bytes().strip())
        first, last, head = verify(options.folder, keys.chain)
        print(f"unchanged: lines {first} to {last}, last mac {head}")
        if options.head and options.head != head:
            print("the last mac is not --head: lines are missing at the end, or were added", file=sys.stderr)
            return 1
        return _replay(options, keys) if options.command == "replay" else 0
    except BadLine as fault:
        print(f"fitscore: {fault}", file=sys.stderr)
        return 1
    except (OSError, BundleError, CannotEncrypt) as error:
        print(f"fitscore: {error}", file=sys.stderr)
        return 2


def _replay(options: argparse.Namespace, keys: AuditKeys) -> int:
    texts = texts_of(options.texts, keys) if options.texts else {}
    done = replay(options.folder, keys, options.models, texts, every=options.every)
    print(f"{done.identical} pairs identical, {done.different} different (by at most {done.max_difference:.2g}),")
    print(f"{done.without_text} pairs whose text is not known")
    for request in done.requests[:10]:
        print(f"  different: request {request}")
    return int(done.max_difference > options.tolerance or (done.different > 0 and options.tolerance == 0))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m service.audit", description=__doc__)
    parser.add_argument("command", choices=("verify", "replay"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--key", type=Path, required=True, help="file with the secret of the log")
    parser.add_argument("--head", help="expected mac of the last line, from the service's log")
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of the bundles")
    parser.add_argument("--texts", type=Path, help="JSON lines of texts or fields, for a log of digests")
    parser.add_argument("--every", type=int, default=1, help="replay every Nth line")
    parser.add_argument(
        "--tolerance", type=float, default=0.0, help="allowed difference of a probability; 0: bit for bit"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
