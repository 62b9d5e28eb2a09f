"""`python -m models score BUNDLE PAIRS OUT`: score a file of pairs without the service.

`python -m models chunks BUNDLE OUT --version VERSION`: copy a bundle so that it reads long candidates in chunks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from models.errors import BundleError, DeviceError, StoreError, UserError, surroundings

USAGE = """\
python -m models score BUNDLE PAIRS OUT (see python -m models score --help)
       python -m models chunks BUNDLE OUT --version VERSION (see python -m models chunks --help)"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when all is written, 1 with one sentence on stderr for a mistake that the user can correct."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] not in (["score"], ["chunks"]):
        print(f"usage: {USAGE}", file=sys.stderr)
        return 2
    word = words[0]
    try:
        print(_command(word)(words[1:]))
    except ImportError as error:
        print(f"{word}: {error.name} is not installed: pip install 'fitscore[service-cpu,bulk]'", file=sys.stderr)
        return 1
    except (UserError, BundleError, DeviceError, StoreError) as error:
        print(f"{word}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{word}: stopped; the same command goes on where it was", file=sys.stderr)
        return 130
    except Exception as error:
        if (sentence := surroundings(error)) is None:
            raise
        print(f"{word}: {sentence}", file=sys.stderr)
        return 1
    return 0


def _command(word: str) -> Callable[[Sequence[str]], str]:
    """Raises ImportError where a library that only this command needs is missing."""
    if word == "chunks":
        from models.bundle.long_texts import chunks

        return chunks
    from models.bulk.command import score

    return score


if __name__ == "__main__":
    sys.exit(main())
