"""Client of a chat model behind an OpenAI-compatible endpoint. An answer cache keeps every answer.

The `openai` client retries passing failures (429 and its Retry-After, 5xx, lost connections, timeouts); a rate limiter
on its transport counts those retries too. Knows requests and answers, not their subject. No error repeats any part of
a request or an answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

import openai
from aiolimiter import AsyncLimiter
from httpx2 import Request
from pydantic import BaseModel, ValidationError

from training.errors import UserError
from training.judging.answer_cache import Answer, AnswerCache, Spending
from training.policy.prompt import Message

PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS)
TOKENS_AROUND_A_MESSAGE = 16
"""Special tokens. A token is at least one byte of text, so the number of bytes bounds the number of tokens."""


@dataclass(frozen=True)
class Endpoint:
    """Address and limits. Prices are dollars per million tokens; `retries` are the client's, for one request."""

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
        dollars = (tokens_in * self.dollars_in + tokens_out * self.dollars_out) / 1e6
        return Spending(tokens_in + tokens_out, dollars)

    def at_most(self, messages: Sequence[Message]) -> Spending:
        """The upper bound of a request's cost."""
        tokens_in = sum(len(each["content"].encode()) + TOKENS_AROUND_A_MESSAGE for each in messages)
        return self.cost(tokens_in, self.answer_tokens)


class EndpointRefused(UserError):
    """The endpoint refuses every request: key, address or model are wrong. The message gives the status."""


class RequestRefused(Exception):
    """The endpoint refuses this request for good, for example because it is too long. The message is a status."""


class EndpointFailed(Exception):
    """The endpoint did not answer this request after all retries. The message is a status or a kind of failure."""


class InBatch(Exception):
    """The request is in a batch file whose answer has not been read yet. The message names the file."""


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


class Asker(Protocol):
    """What answers a request: an endpoint, or batch files."""

    async def ask(self, messages: Sequence[Message]) -> Answer: ...


def request_key(endpoint: Endpoint, messages: Sequence[Message]) -> str:
    """The digest of a request: the same one whichever way it is sent."""
    return hashlib.sha256(json.dumps([endpoint.base_url, endpoint.model, messages]).encode()).hexdigest()


def request_body(endpoint: Endpoint, messages: Sequence[Message]) -> dict[str, Any]:
    """The body of a chat completion request."""
    return {
        "model": endpoint.model,
        "messages": list(messages),
        "temperature": 0,
        "max_tokens": endpoint.answer_tokens,
        "response_format": {"type": "json_object"},
    }


def read_completion(body: bytes, endpoint: Endpoint, at_most: Spending) -> Answer:
    """The answer in the body of a response; `at_most` is its cost where the body does not state it."""
    try:
        completion = _Completion.model_validate_json(body)
    except ValidationError:
        return Answer(None, "broken", at_most)  # it may still be billed
    used = completion.usage
    cost = endpoint.cost(used.prompt_tokens, used.completion_tokens) if used else at_most
    if not completion.choices:
        return Answer(None, "empty", cost)
    first = completion.choices[0]
    return Answer(first.message.content, first.finish_reason or "unknown", cost)


class LlmClient:
    """The client of one endpoint, with its answer cache. Use within one event loop; `close` it at the end."""

    def __init__(self, endpoint: Endpoint, answers: AnswerCache) -> None:
        self._endpoint, self._answers = endpoint, answers
        self._locks: dict[str, asyncio.Lock] = {}
        # Evenly spaced, not a burst at the start of each second.
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
                "the endpoint's key is missing: set OPENAI_API_KEY (to any value if it needs none)"
            ) from None

    async def close(self) -> None:
        await self._client.close()

    async def ask(self, messages: Sequence[Message]) -> Answer:
        """The answer, from the cache if it is there.

        Raises BudgetSpent, EndpointFailed, EndpointRefused, RequestRefused.
        """
        key = request_key(self._endpoint, messages)
        async with self._locks.setdefault(key, asyncio.Lock()):  # pairs of the same texts are one request
            return self._answers.answer(key) or await self._ask(key, messages)

    async def _ask(self, key: str, messages: Sequence[Message]) -> Answer:
        endpoint = self._endpoint
        self._answers.send(key, endpoint.at_most(messages))
        answer = read_completion(await self._post(key, messages), endpoint, endpoint.at_most(messages))
        self._answers.receive(key, answer)
        return answer

    async def _post(self, key: str, messages: Sequence[Message]) -> bytes:
        try:
            response = await self._client.chat.completions.with_raw_response.create(
                **request_body(self._endpoint, messages),
                # Endpoints that support it answer a repeated request (a retry, or a run after a kill) from their cache.
                extra_headers={"Idempotency-Key": key},
            )
        except openai.APITimeoutError:
            raise EndpointFailed("timeout") from None  # it may have been answered and billed: the cache keeps its cost
        except openai.APIStatusError as error:
            self._answers.forget(key)
            if error.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}:
                raise EndpointRefused(f"the endpoint refuses with status {error.status_code}") from None
            passing = error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR or error.status_code in PASSING
            raise (EndpointFailed if passing else RequestRefused)(f"status {error.status_code}") from None
        except openai.APIConnectionError:
            self._answers.forget(key)
            raise EndpointFailed("no connection") from None
        body: bytes = response.http_response.content
        return body
