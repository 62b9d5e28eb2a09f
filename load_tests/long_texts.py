"""NDCG@10 on long job texts with and without chunks: `python -m load_tests.long_texts`.

Lists of USAJOBS questionnaires that no model was trained on: a claim of an applicant against 20 postings, each with all
of its tasks. The bundle reads one window of each; its copy, made here, reads chunks. Says the mean chance beside the
share that fits by the number of chunks, which a good calibration keeps equal.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.bundle.files import Bundle
from models.bundle.long_texts import CHUNKS, DISCOUNT, copy_with_chunks
from models.loading import open_encoder
from training.data.lists import FieldList, Split
from training.data.source_files import SourceFiles
from training.evaluation.systems.bundles import bundle_system
from training.metrics.bootstrap import bootstrap
from training.metrics.ranking import ndcg_at_10
from training.sources import usajobs

BUCKETS = ((1, 2), (3, 3), (4, CHUNKS))


def long_lists(data: Path, split: Split, count: int) -> list[FieldList]:
    """Lists of one posting among 19 others, each with all its tasks as one text."""
    postings = [replace(each, tasks=(". ".join(each.tasks),)) for each in usajobs.read_postings(SourceFiles(data))]
    return list(usajobs.posting_lists(postings, split, count=count, candidates=20, titled_share=0.0, seed=7))


def report(bundle: Path, lists: Sequence[FieldList]) -> None:
    """Print the figures of the bundle and of its copy."""
    gains = [np.array(each.labels["relevance"]) for each in lists]
    fits, ends = np.concatenate(gains), np.cumsum(list(map(len, gains)))[:-1]
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / "chunks"
        copy_with_chunks(bundle, copied, version="chunks", chunks=CHUNKS, discount=DISCOUNT)
        chances = {name: bundle_system(path, name, "student").score(lists)["overall"] for name, path in
                   (("window", bundle), ("chunks", copied))}  # fmt: skip
        opened = Bundle.load(copied)
    template, encoder = opened.manifest.text.template, open_encoder(opened)
    texts = [template.render_candidate(fields) for each in lists for fields in each.candidates]
    number = np.array([each.counts.chunks for each in encoder.read_candidates(texts)])
    found = {
        name: np.array([ndcg_at_10(*each) for each in zip(np.split(chance, ends), gains, strict=True)])
        for name, chance in chances.items()
    }
    for name, chance in chances.items():
        print(f"{name}: NDCG@10 {bootstrap(found[name])} of {len(lists)} lists")
        for low, high in BUCKETS:
            own = (number >= low) & (number <= high)
            print(
                f"  {low} to {high} chunks, {own.sum()} pairs: mean chance {chance[own].mean():.3f},"
                f" {fits[own].mean():.3f} fit; of those that do not {chance[own & (fits == 0)].mean():.3f}"
            )
    print(f"chunks minus window: {bootstrap(found['chunks'] - found['window']):+.3f}")


def main() -> None:
    """Measure on the command line's lists."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=Path("models/jobs-v1"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--split", choices=["valid", "test"], default="test", help="choices are made on valid")
    parser.add_argument("--lists", type=int, default=100)
    options = parser.parse_args()
    report(options.bundle, long_lists(options.data, options.split, options.lists))


if __name__ == "__main__":
    main()
