"""Items are slots, the state of a candidate is small and int8, and matching starts as a cosine."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.slots.codec import HEADER_BYTES
from models.text import TextEncoder
from training.nets.cross_encoder import CrossEncoder, new_cross_encoder
from training.nets.inference import to_tensors
from training.nets.item_scorer import ItemScorer
from training.nets.items import Items, separator_ids
from training.nets.shapes import SplitShape
from training.nets.split_student import SplitStudent, load_split_student, new_split_student

SEPARATOR, PADDING = 9, 0
SHAPE = SplitShape(3, 16)
MEMBERS = ("senior baker. dough, ovens", "nurse")
CANDIDATES = ("junior welder. steel", "senior baker", "a")


def slots_of(row: list[int], pooled: int = 3) -> list[list[int]]:
    """The tokens of each slot of one text."""
    ids = torch.tensor([row])
    is_in = Items(pooled, (SEPARATOR, PADDING))(ids, (ids != PADDING).long())[0]
    return [[row[place] for place in range(len(row)) if slot[place]] for slot in is_in.tolist()]


def test_an_item_is_the_words_between_separators() -> None:
    assert slots_of([5, 6, 9, 7]) == [[5, 6], [7], []]


def test_separators_beside_each_other_make_no_empty_item() -> None:
    assert slots_of([9, 5, 9, 9, 6, 9, 7, 0, 0]) == [[5], [6], [7]]


def test_where_there_are_more_items_than_slots_neighbours_share_one() -> None:
    assert slots_of([1, 9, 2, 9, 3, 9, 4], pooled=2) == [[1, 2], [3, 4]]


def test_separators_that_a_tokenizer_lacks_are_left_out() -> None:
    assert separator_ids({".": 4, "[SEP]": 2}.get) == (4, 2)


@pytest.fixture
def teacher(backbone: str) -> CrossEncoder:
    torch.manual_seed(0)
    return new_cross_encoder(backbone, 2).eval()


@pytest.fixture
def student(teacher: CrossEncoder, encoder: TextEncoder) -> SplitStudent:
    """Moved from its initial state, so that every part matters."""
    torch.manual_seed(1)
    student = new_split_student(teacher, SHAPE, (0, 2, 3))
    with torch.no_grad():
        for parameter in student.scorer.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return student.eval()


def encoded(student: SplitStudent, encoder: TextEncoder, texts: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """Slots of candidates, and their mask."""
    inputs = to_tensors(encoder.collate_sides(encoder.candidates(texts)), torch.device("cpu"))
    return student.slots(student.encode(**inputs), inputs["attention_mask"]), inputs["attention_mask"]


def logits(student: SplitStudent, encoder: TextEncoder, members: tuple[str, ...], others: tuple[str, ...]) -> Tensor:
    inputs = to_tensors(encoder.collate_sides([encoder.member(text) for text in members]), torch.device("cpu"))
    encoding, mask = student.encode(**inputs), inputs["attention_mask"]
    slots = encoded(student, encoder, others)[0].expand(len(members), -1, -1, -1)
    found: Tensor = student.scorer(student.member(encoding, mask), slots, student.keys_values(encoding, mask), mask)
    return found


@torch.inference_mode()
def test_it_starts_as_the_cosine(teacher: CrossEncoder, encoder: TextEncoder) -> None:
    student, device = new_split_student(teacher, SHAPE, (0, 2, 3)).eval(), torch.device("cpu")
    members = teacher.embed(**to_tensors(encoder.collate_sides([encoder.member(text) for text in MEMBERS]), device))
    others = teacher.embed(**to_tensors(encoder.collate_sides(encoder.candidates(CANDIDATES)), device))
    cosine = teacher.match(members.unsqueeze(1), others.unsqueeze(0))
    # A coordinate in int8 is off by up to 1 / 254 of the largest, and a logit by 20 times what that does to a cosine.
    torch.testing.assert_close(logits(student, encoder, MEMBERS, CANDIDATES), cosine, rtol=0, atol=0.2)


@torch.inference_mode()
def test_a_score_does_not_depend_on_its_batch(student: SplitStudent, encoder: TextEncoder) -> None:
    together = logits(student, encoder, MEMBERS, CANDIDATES)
    for row, member in enumerate(MEMBERS):
        for column, candidate in enumerate(CANDIDATES):
            alone = logits(student, encoder, (member,), (candidate,))[0, 0]
            torch.testing.assert_close(alone, together[row, column], rtol=0, atol=1e-4)


@torch.inference_mode()
def test_a_candidates_state_is_int8(student: SplitStudent, encoder: TextEncoder) -> None:
    slots, _ = encoded(student, encoder, CANDIDATES)
    assert slots.shape == (3, 2 + 6 * 4 * 64 // 16 + 3, 16)  # the embedding of 32 numbers, the pools, three items
    torch.testing.assert_close(slots.to(torch.int8).float(), slots, rtol=0, atol=0)


def test_a_state_of_minilm_with_sixteen_items_fits_a_page_of_a_store() -> None:
    rows = ItemScorer(torch.ones(1, 384), torch.zeros(1), 16, 128, (0,)).rows
    assert HEADER_BYTES + sum(rows) * 128 <= 4080  # of 4096, LMDB takes 16


@torch.inference_mode()
def test_a_text_without_any_item_has_a_finite_score(student: SplitStudent, encoder: TextEncoder) -> None:
    assert logits(student, encoder, ("",), ("", "nurse")).isfinite().all()


@torch.inference_mode()
def test_readers_start_as_the_cosine_of_states(student: SplitStudent, encoder: TextEncoder) -> None:
    scorer = student.scorer
    assert isinstance(scorer, ItemScorer)
    states = torch.randn(200, 32) @ torch.diag(torch.cat([torch.ones(16), torch.full((16,), 1e-3)]))
    scorer.start_from(states)
    centred = states[:5] - states.mean(0)
    wanted = torch.nn.functional.cosine_similarity(centred[:, None], centred[None], dim=-1)
    asked, key = (torch.nn.functional.normalize(layer(states[:5]), dim=-1) for layer in (scorer.slot, scorer.keys[1]))
    torch.testing.assert_close(asked @ key.T, wanted, rtol=0, atol=1e-2)


@torch.inference_mode()
def test_it_is_read_back_as_it_was_saved(student: SplitStudent, encoder: TextEncoder, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    student.save(folder)
    again = load_split_student(folder).eval()
    torch.testing.assert_close(
        logits(again, encoder, MEMBERS, CANDIDATES), logits(student, encoder, MEMBERS, CANDIDATES), rtol=0, atol=1e-5
    )
