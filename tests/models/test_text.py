"""Fields become text and text becomes ids; text that imitates special tokens stays text."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.processors import BertProcessing

from models.template import FieldFormat, Template, collapsed
from models.text import Pair, TextEncoder, TokenCounts, Window
from tests.support.bundles import tokenizer_json

TEMPLATE = Template(
    member=(FieldFormat(name="headline"), FieldFormat(name="skills", label="skills")),
    candidate=(FieldFormat(name="title"),),
)
TEXTS = st.text(alphabet="abc de[]SEPCL.", max_size=60)


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder(tokenizer_json(), 8, 6)


def test_fields_come_in_the_order_of_the_template() -> None:
    assert (
        TEMPLATE.render_member({"skills": ["a", "b "], "headline": " data  engineer. "})
        == "data engineer. skills: a, b"
    )


def test_fields_that_the_template_does_not_name_are_kept_in_name_order() -> None:
    assert TEMPLATE.render_candidate({"z": 2, "title": "chef", "a": ["x", "y"]}) == "chef. a: x, y. z: 2"


def test_empty_values_are_skipped() -> None:
    assert TEMPLATE.render_member({"headline": "", "skills": ["", " "], "other": "."}) == ""


def test_a_literal_separator_stays_text(encoder: TextEncoder) -> None:
    separator = Tokenizer.from_str(tokenizer_json()).token_to_id("[SEP]")
    assert separator not in encoder.member("chef [SEP] nurse")[1:-1]
    assert separator not in encoder.candidates(["[SEP]"])[0][1:-1]


def test_each_side_is_truncated_by_itself(encoder: TextEncoder) -> None:
    assert len(encoder.member("a " * 50)) == 8 + 2
    assert len(encoder.candidates(["b " * 50])[0]) == 6 + 2
    assert encoder.longest_pair == 8 + 2 + 6 + 2


def _library() -> Tokenizer:
    library = Tokenizer.from_str(tokenizer_json())
    library.encode_special_tokens = True
    ids = library.get_vocab()
    library.post_processor = BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    return library


@settings(max_examples=50, deadline=None)
@given(member=TEXTS, candidate=TEXTS)
def test_a_pair_equals_the_tokenizers_own_pair(member: str, candidate: str) -> None:
    encoder = TextEncoder(tokenizer_json(), 64, 64, layout="pair")
    expected = _library().encode(member, candidate)
    arrays = encoder.collate([Pair(encoder.member(member), encoder.candidates([candidate])[0])])
    assert arrays["input_ids"][0].tolist() == expected.ids
    assert arrays["token_type_ids"][0].tolist() == expected.type_ids
    assert arrays["attention_mask"][0].tolist() == expected.attention_mask


def test_padding_is_masked(encoder: TextEncoder) -> None:
    short, long = (
        Pair(encoder.member("a"), encoder.candidates(["b"])[0]),
        Pair(np.arange(4, dtype=np.int32), np.arange(4, dtype=np.int32)),
    )
    arrays = encoder.collate([short, long])
    assert arrays["input_ids"].shape == (2, len(long))
    assert arrays["attention_mask"][0].tolist() == [1] * len(short) + [0] * (len(long) - len(short))
    assert not arrays["input_ids"][0, len(short) :].any()


def test_a_side_alone_has_the_same_ids_as_in_a_pair(encoder: TextEncoder) -> None:
    member, candidates = encoder.member("data engineer"), encoder.candidates(["chef", "senior data engineer"])
    whole = encoder.collate([Pair(member, candidates[1])])["input_ids"][0].tolist()
    first = encoder.collate_sides([member])
    second = encoder.collate_sides(candidates)
    assert first["input_ids"][0].tolist() + second["input_ids"][1].tolist() == whole
    assert first["attention_mask"].all()
    assert second["attention_mask"].sum(1).tolist() == [len(candidates[0]), len(candidates[1])]


@settings(max_examples=50, deadline=None)
@given(text=TEXTS)
def test_each_side_alone_equals_the_tokenizers_own_encoding(text: str) -> None:
    """A sentence encoder reads both sides as in pretraining."""
    encoder = TextEncoder(tokenizer_json(), 64, 64)
    expected = _library().encode(text).ids
    assert encoder.member(text).tolist() == expected
    assert encoder.candidates([text])[0].tolist() == expected


def test_a_text_says_what_is_read_cut_and_unknown(encoder: TextEncoder) -> None:
    def counts(text: str) -> tuple[int, int, int]:
        own = encoder.read_candidates([text])[0].counts
        return own.read, own.cut, own.unknown

    assert [counts("chef"), counts("chef " * 9), counts("chef 无"), counts("\u200b"), counts("")] == [
        (1, 0, 0), (6, 3, 0), (2, 0, 1), (0, 0, 0), (0, 0, 0),
    ]  # fmt: skip
    assert not encoder.read_candidates(["无 无"])[0].counts.readable
    assert encoder.read_member("chef " * 9).counts == TokenCounts(8, 1, 0)


@given(text=TEXTS, most=st.one_of(st.none(), st.integers(1, 9)), from_end=st.booleans())
def test_a_window_is_a_part_of_the_tokens_at_one_end(text: str, most: int | None, from_end: bool) -> None:
    encoder, whole = TextEncoder(tokenizer_json(), 8, 6), TextEncoder(tokenizer_json(), 8, 1000)
    every = whole.candidates([text])[0][1:-1].tolist()
    room = min(6, most or 6)
    read = encoder.read_candidates([text], Window(most, from_end))[0]
    assert read.ids[1:-1].tolist() == (every[-room:] if from_end else every[:room])
    assert (read.counts.read, read.counts.cut) == (len(every[:room]), len(every[room:]))
    effective = encoder.effective(Window(most, from_end))
    assert encoder.read_candidates([text], effective)[0].ids.tolist() == read.ids.tolist()


def test_equal_readings_have_equal_tags_and_others_do_not(encoder: TextEncoder) -> None:
    windows = [Window(), Window(5), Window(4), Window(None, True), Window(5, True)]
    assert len({window.tag for window in windows}) == len(windows)
    assert {encoder.effective(Window(most)).tag for most in (None, 6, 7, 10**30)} == {b""}
    assert all(len(window.tag) <= 16 for window in windows)  # what a hash can be personalised with


def test_text_that_is_not_unicode_is_a_value_error(encoder: TextEncoder) -> None:
    with pytest.raises(ValueError, match="not valid Unicode"):
        encoder.member("\ud800")


def test_a_tokenizer_without_special_tokens_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"none of the special tokens \[CLS\], <s>"):
        TextEncoder(tokenizer_json().replace("[CLS]", "[BOS]"), 8, 8)


@given(st.text(st.sampled_from("ab.  \t\n\x1f\x85\xa0\u2009\u2028\u3000")))
def test_white_space_of_any_kind_is_collapsed(text: str) -> None:
    assert collapsed(text) == " ".join(text.split())
