"""One chat model behind an OpenAI-compatible endpoint, asked through the `openai` client; a ledger keeps every answer.

The client retries what is worth retrying (429 and its Retry-After, 5xx, lost connections, timeouts); a rate limiter on
its transport counts those retries too. This file knows requests and answers, not what they are about. Nothing of a
request or an answer stands in any error.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast

import openai
from aiolimiter import AsyncLimiter
from httpx2 import Request
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel, ValidationError

from training.errors import UserError
from training.judging.answer_cache import Answer, AnswerCache, Spending
from training.policy.prompt import Message

PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS)
# Special tokens around a message. A token is at least one byte of text, so bytes bound tokens from above.
TOKENS_AROUND_A_MESSAGE = 16


@dataclass(frozen=True)
class Endpoint:
    """Where and how to ask. Prices are dollars for a million tokens; `retries` are the client's, for one request."""

    base_url: str
    model: str
    dollars_in: float = 0.0
    dollars_out: float = 0.0
    requests_per_second: float = 5.0
    concurrency: int = 8
    timeout_seconds: float = 60.0
    retries: int = 5
    answer_tokens: int = 800

    def cost(self, tokens_in: int, tokens_out: int) -> Spending:
        """What so many tokens cost here."""
        dollars = (tokens_in * self.dollars_in + tokens_out * self.dollars_out) / 1e6
        return Spending(tokens_in + tokens_out, dollars)

    def at_most(self, messages: Sequence[Message]) -> Spending:
        """The most that a request can cost."""
        tokens_in = sum(len(each["content"].encode()) + TOKENS_AROUND_A_MESSAGE for each in messages)
        return self.cost(tokens_in, self.answer_tokens)


class EndpointRefused(UserError):
    """The endpoint will not answer anything: key, address or model are wrong. The sentence names the status."""


class RequestRefused(Exception):
    """The endpoint will not answer this request, however often it is asked: too long, say. The sentence is a status."""


class EndpointFailed(Exception):
    """The endpoint gave no answer to this request, after all retries; the sentence is a status or a kind of failure."""


class _Said(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Said
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int


class _Completion(BaseModel):
    choices: list[_Choice]
    usage: _Usage | None = None


class LlmClient:
    """The client of one endpoint, with its ledger. Use within one event loop; `close` it at the end."""

    def __init__(self, endpoint: Endpoint, ledger: AnswerCache) -> None:
        self._endpoint, self._ledger = endpoint, ledger
        # One at a time instead of a burst at the start of each second.
        limiter = AsyncLimiter(1, 1 / endpoint.requests_per_second)

        async def wait_for_turn(_: Request) -> None:
            await limiter.acquire()

        try:
            self._client = openai.AsyncOpenAI(
                base_url=endpoint.base_url,
                max_retries=endpoint.retries,
                timeout=endpoint.timeout_seconds,
                http_client=openai.DefaultAsyncHttpxClient(event_hooks={"request": [wait_for_turn]}),
            )
        except openai.OpenAIError:
            raise EndpointRefused(
                "the endpoint's key is missing: set OPENAI_API_KEY (to any word if it needs none)"
            ) from None

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.close()

    async def ask(self, messages: Sequence[Message]) -> Answer:
        """The answer, from the ledger if it came before.

        Raises BudgetSpent, EndpointFailed, EndpointRefused, RequestRefused.
        """
        endpoint = self._endpoint
        key = hashlib.sha256(json.dumps([endpoint.base_url, endpoint.model, messages]).encode()).hexdigest()
        known = self._ledger.answer(key)
        if known is not None:
            return known
        self._ledger.send(key, endpoint.at_most(messages))
        answer = self._read(await self._post(key, messages), messages)
        self._ledger.receive(key, answer)
        return answer

    async def _post(self, key: str, messages: Sequence[Message]) -> bytes:
        try:
            response = await self._client.chat.completions.with_raw_response.create(
                model=self._endpoint.model,
                messages=cast(list[ChatCompletionMessageParam], list(messages)),
                temperature=0,
                max_tokens=self._endpoint.answer_tokens,
                response_format={"type": "json_object"},
                # Endpoints that know it answer a repeated request (a retry, or a run after a kill) from what they have.
                extra_headers={"Idempotency-Key": key},
            )
        except openai.APITimeoutError:
            raise EndpointFailed("timeout") from None  # it may have been answered, and be billed: the ledger keeps it
        except openai.APIStatusError as error:
            self._ledger.forget(key)
            if error.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}:
                raise EndpointRefused(f"the endpoint refuses with status {error.status_code}") from None
            passing = error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR or error.status_code in PASSING
            raise (EndpointFailed if passing else RequestRefused)(f"status {error.status_code}") from None
        except openai.APIConnectionError:
            self._ledger.forget(key)
            raise EndpointFailed("no connection") from None
        return response.http_response.content

    def _read(self, body: bytes, messages: Sequence[Message]) -> Answer:
        at_most = self._endpoint.at_most(messages)
        try:
            completion = _Completion.model_validate_json(body)
        except ValidationError:
            return Answer(None, "broken", at_most)  # it may be billed all the same
        used = completion.usage
        cost = self._endpoint.cost(used.prompt_tokens, used.completion_tokens) if used else at_most
        if not completion.choices:
            return Answer(None, "empty", cost)
        first = completion.choices[0]
        return Answer(first.message.content, first.finish_reason or "unknown", cost)
