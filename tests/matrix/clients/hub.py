"""The Hub's client: sentence similarity, which gives a score for each sentence in its order."""

from __future__ import annotations

from huggingface_hub import InferenceClient

from tests.matrix.asking import KEY, Ask, Client, Found, in_order


def similarity(ask: Ask) -> Found:
    client = InferenceClient(base_url=ask.url, api_key=KEY)
    return in_order(client.sentence_similarity(ask.query, list(ask.documents)))


CLIENTS = (Client("huggingface_hub", "sentence_similarity", "base_url=URL", "/", similarity, top=False),)
