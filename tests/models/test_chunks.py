"""A long text is read in chunks that cover it, each with its opening; what it says twice is read once."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.heads import UNANSWERED, BestChunk
from models.slots.codec import chunk_keys, content_key
from models.text import TextEncoder, TokenCounts, Window
from models.text.chunks import border_ranks, chunk_spans, without_repeats
from tests.support.bundles import WORDS, tokenizer_json

WINDOW = 16
STOP = "[UNK]"
"""A full stop in the tiny vocabulary."""
LONG = "Senior chef. " + ". ".join(
    f"{WORDS[number % 7]} {WORDS[7 + number // 7]} a{'b' * number}" for number in range(12)
)
TEXTS = st.lists(st.sampled_from([*WORDS, "a", "b.", "c,", "d;", "无", "e.\n", "f! "]), min_size=1, max_size=120)
BEST = BestChunk(lead=0)


def encoder(chunks: int = 16, window: int = WINDOW) -> TextEncoder:
    return TextEncoder(tokenizer_json(), 8, window, chunks=chunks)


@pytest.mark.parametrize("joint", [" ", ". ", "\n", "\n\n", "; ", "."])
@pytest.mark.parametrize(
    "text", [LONG, LONG + ".", "data engineer", "chef", "Pastry chef. Bake for a small hotel", "a " * 90]
)
def test_the_same_text_twice_or_more_is_read_as_once(text: str, joint: str) -> None:
    once = encoder().read_candidates([text])[0]
    for times in (2, 3, 5):
        again = encoder().read_candidates([joint.join([text] * times)])[0]
        assert [ids.tolist() for ids in again.chunks] == [ids.tolist() for ids in once.chunks]


@settings(max_examples=200, deadline=None)
@given(words=TEXTS, joint=st.sampled_from([" ", ". ", "\n"]), times=st.integers(2, 4))
def test_any_text_said_again_is_the_text_once(words: list[str], joint: str, times: int) -> None:
    text = " ".join(words)
    assert without_repeats(joint.join([text] * times)).split() == without_repeats(text).split()


def test_a_part_that_comes_again_later_is_read_once() -> None:
    assert without_repeats("Bake. Own the hotel! bake? Lead") == "Bake. Own the hotel! Lead"
    run = "one two three four five six seven eight"
    assert without_repeats(f"{run} nine {run} ten") == f"{run} nine ten"
    assert without_repeats("Chef. Own our kitchen now Own our kitchen now, Bake") == "Chef. Own our kitchen now Bake"
    assert without_repeats("Data engineer. Data engineer wanted") == "Data engineer. Data engineer wanted"


@pytest.mark.parametrize(
    "text", ["", " ", "chef", "data engineer. senior data engineer", "New York, York. a  b\nc", "1.5 to 1.5 kg"]
)
def test_a_text_without_repeats_stays_as_it_is(text: str) -> None:
    assert without_repeats(text) == text


@settings(max_examples=200, deadline=None)
@given(words=TEXTS)
def test_chunks_cover_the_text_in_order_and_none_is_longer_than_the_window(words: list[str]) -> None:
    sent = " ".join(words)
    text = without_repeats(sent)
    every = TextEncoder(tokenizer_json(), 8, 10_000).candidates([text])[0][1:-1].tolist()
    encoding = encoder()._encode([text], with_places=True)[0]
    opening, spans = chunk_spans(border_ranks(text, [start for start, _ in encoding.offsets]), WINDOW)
    assert spans[0][0] == 0
    assert spans[-1][1] == len(every)
    assert all(start <= end_before for (_, end_before), (start, _) in pairwise(spans))
    assert all(start < next_start for (start, _), (next_start, _) in pairwise(spans))
    read = encoder().read_candidates([sent])[0]
    chunks = [ids[1:-1].tolist() for ids in read.chunks]
    assert max(map(len, chunks)) <= WINDOW
    assert chunks == [every[:opening] * (start > 0) + every[start:end] for start, end in spans[:16]]


def test_a_text_that_fits_is_one_chunk_with_the_ids_of_a_model_without_chunks() -> None:
    texts = ["chef", "senior data engineer. bake, python", "", "无", "chef " * 2 + "a"]
    plain = TextEncoder(tokenizer_json(), 8, WINDOW).read_candidates(texts)
    for each, wanted in zip(encoder().read_candidates(texts), plain, strict=True):
        assert (each.ids.tolist(), each.counts, each.further) == (wanted.ids.tolist(), wanted.counts, ())


def test_every_chunk_begins_with_the_opening_and_ends_where_a_sentence_does() -> None:
    tokens = {number: token for token, number in encoder()._tokenizer.get_vocab().items()}
    chunks = [[tokens[each] for each in ids[1:-1]] for ids in encoder().read_candidates([LONG])[0].chunks]
    assert len(chunks) > 4
    assert all(chunk[:3] == ["senior", "chef", STOP] for chunk in chunks)
    assert all(chunk[-1] == STOP for chunk in chunks[:3])


def test_an_opening_that_would_fill_a_window_is_not_repeated() -> None:
    text = " ".join(f"a{'b' * number}" for number in range(9)) + ". chef. nurse"
    first, *_, last = encoder().read_candidates([text])[0].chunks
    assert first[1:4].tolist() != last[1:4].tolist()


def test_a_last_chunk_is_not_short() -> None:
    words = [f"{a} {b}" for a in WORDS for b in WORDS[:4]]
    for num in range(9, 40):
        chunks = encoder().read_candidates([" ".join(words[:num])])[0].chunks
        assert len(chunks) == 1 or len(chunks[-1]) - 2 >= WINDOW * 3 // 4


def test_what_is_cut_lies_beyond_the_chunks() -> None:
    every = len(TextEncoder(tokenizer_json(), 8, 10_000).candidates([LONG])[0]) - 2
    whole = encoder().read_candidates([LONG])[0]
    assert whole.counts == TokenCounts(every, 0, 12, len(whole.chunks))
    two = encoder(chunks=2).read_candidates([LONG])[0]
    assert (two.counts.chunks, len(two.chunks)) == (2, 2)
    assert two.counts.read + two.counts.cut == every
    assert 0 < two.counts.cut < every - WINDOW


def test_a_window_limits_the_chunks_at_either_end() -> None:
    every = TextEncoder(tokenizer_json(), 8, 10_000).candidates([LONG])[0][1:-1].tolist()
    for from_end in (False, True):
        read = encoder(chunks=3).read_candidates([LONG], Window(20, from_end))[0]
        assert (read.counts.read, read.counts.cut) == (20, len(every) - 20)
    last = encoder(chunks=2).read_candidates([LONG], Window(None, True))[0]
    assert last.ids[1:-1].tolist() != every[:WINDOW]
    assert last.chunks[-1][-5:-1].tolist() == every[-4:]
    assert {encoder(chunks=3).effective(Window(most)).tag for most in (None, 48, 99)} == {b""}
    assert encoder(chunks=3).effective(Window(47)).tag != b""
    fewer = [encoder(chunks=3).effective(Window(None, chunks=chunks)) for chunks in (1, 2, 3, 64)]
    assert [each.tag for each in fewer] == [b"0<1", b"0<2", b"", b""]
    assert [len(encoder(chunks=3).read_candidates([LONG], each)[0].chunks) for each in fewer] == [1, 2, 3, 3]


def test_each_chunk_has_a_key_and_the_first_has_that_of_the_text() -> None:
    key = content_key(b"modelkey", "chef")
    keys = chunk_keys(key, 16)
    assert keys[0] == key
    assert chunk_keys(key, 3) == keys[:3]
    assert len(set(keys)) == 16
    assert {(len(each), each[:8]) for each in keys} == {(24, b"modelkey")}


def rows(*values: list[float]) -> np.ndarray:
    return np.array(values, np.float32)


def test_the_chunk_with_the_best_leading_head_counts() -> None:
    found = BestChunk(lead=1).rows(rows([0.9, 0.1], [0.2, 0.6], [0.4, 0.3], [0.5, 0.5]), [3, 1])
    assert found.tolist() == rows([0.2, 0.6], [0.5, 0.5]).tolist()


def test_a_head_that_the_best_chunk_does_not_answer_is_that_of_the_next_one_that_does() -> None:
    no = UNANSWERED
    found = BEST.rows(rows([0.3, 0.7], [0.4, 0.8], [0.5, no], [no, no], [no, no]), [3, 2])
    assert found.tolist() == rows([0.5, 0.8], [no, no]).tolist()


def test_the_odds_of_the_leading_head_are_divided_by_a_power_of_the_number_of_chunks() -> None:
    values = [[0.5, 0.5]] * 4 + [[0.5, 0.5], [UNANSWERED, 0.1], [UNANSWERED, 0.1]]
    found = BestChunk(discount=0.5).rows(rows(*values), [4, 1, 2])
    assert found.ravel().tolist() == pytest.approx([1 / 3, 0.5, 0.5, 0.5, UNANSWERED, 0.1])


def test_a_chunk_that_fails_fails_its_text_alone() -> None:
    found = BEST.rows(rows([0.3, 0.7], [np.nan, 0.8], [0.5, 0.1]), [2, 1])
    assert np.isnan(found[0]).all()
    assert found[1].tolist() == rows([0.5, 0.1])[0].tolist()


def test_texts_that_do_not_fit_have_the_same_mean_chance_at_any_length() -> None:
    logits = np.random.default_rng(0).normal(-3, 0.3, (4000, 8)).astype(np.float32)
    chances = (1 / (1 + np.exp(-logits[..., None]))).astype(np.float32)

    def means(discount: float) -> list[float]:
        """By the number of chunks, over that of one chunk."""
        found = [
            BestChunk(discount=discount).rows(chances[:, :num].reshape(-1, 1), [num] * 4000).mean()
            for num in (1, 2, 4, 8)
        ]
        return [float(each / found[0]) for each in found]

    assert means(0.2) == pytest.approx([1] * 4, rel=0.1)
    assert means(0.0)[-1] > 1.4
