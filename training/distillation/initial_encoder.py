"""The encoder that initializes a split student. It has learnt what its teacher can teach with both sides apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.text import TextEncoder
from training.data.lists import CandidateList
from training.nets.checkpoints import encoder_folder, made_once
from training.nets.cross_encoder import CrossEncoder, load_cross_encoder, train_embeddings
from training.nets.llm_teacher import is_decoder
from training.objectives.in_batch_negatives import contrast
from training.trainer.loop import fit
from training.trainer.schedule import Schedule


def initial_encoder(
    schedule: Schedule,
    heads: Sequence[str],
    encoder: TextEncoder,
    teacher: Path,
    labelled: Sequence[CandidateList],
    out: Path,
    *,
    embeddings: bool,
) -> CrossEncoder:
    """The teacher itself, if it is a cross-encoder. Otherwise the encoder that learnt from the same grades beside the
    language model, after it has also learnt from that model's soft labels: those of `heads` in `labelled`.
    """
    start = load_cross_encoder(encoder_folder(teacher))
    if not is_decoder(teacher / "model"):
        return start

    def trained() -> CrossEncoder:
        model = train_embeddings(start, embeddings)
        fit(model, labelled, contrast(model, encoder, heads), schedule, out / "encoder")
        return model

    return made_once(out / "encoder" / "model", trained)
