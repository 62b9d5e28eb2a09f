"""A chat model behind loopback HTTP that speaks the OpenAI protocol and misbehaves on request.

Its grades follow from the pair, so a judge that confuses pairs is detected. It counts what it would bill: a
request that repeats its Idempotency-Key gets the first answer again and is billed once.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

DIMENSIONS = ("role", "skills", "seniority")


@dataclass(frozen=True)
class Asked:
    """One request: its number from 0, its key, how often this key was asked before, and the pair in question."""

    number: int
    key: str
    before: int
    member: str
    candidate: str
    answers_refused: int


@dataclass(frozen=True)
class Reply:
    """What goes over the wire. `hold` never answers; `cut` closes the connection in the middle of the body."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    hold: bool = False
    cut: bool = False


Behaviour = Callable[[Asked], Reply | None]


def grade_of(member: str, candidate: str, dimension: str) -> int:
    """What this model thinks: any fixed function of the pair will do."""
    return (len(member) + 3 * len(candidate) + len(dimension)) % 5


def verdicts(asked: Asked, **changes: object) -> dict[str, Any]:
    """A well-formed answer about a pair; `changes` replace dimensions."""
    grades = {d: grade_of(asked.member, asked.candidate, d) for d in DIMENSIONS}
    return {**{d: {"reason": f"by its {d}", "grade": grade} for d, grade in grades.items()}, **changes}


def completion(content: str | None, *, finish: str = "stop", usage: bool = True) -> Reply:
    """A chat completion that holds this content."""
    body: dict[str, Any] = {
        "id": "c-1",
        "object": "chat.completion",
        "created": 1,
        "model": "small",
        "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content}}],
    }
    if usage:
        body["usage"] = {"prompt_tokens": 900, "completion_tokens": 60, "total_tokens": 960}
    return Reply(body=json.dumps(body).encode())


def well(asked: Asked) -> Reply:
    """The good answer."""
    return completion(json.dumps(verdicts(asked)))


@dataclass
class ChatServer:
    """Serves from a thread of its own until the `with` ends. `behave` returns None where it has nothing to object."""

    behave: Behaviour = lambda _: None
    asked: list[Asked] = field(default_factory=list)
    billed: dict[str, Reply] = field(default_factory=dict)
    arrivals: list[float] = field(default_factory=list)
    at_once: int = 0

    def __enter__(self) -> ChatServer:
        self._loop = asyncio.new_event_loop()
        self._seen: Counter[str] = Counter()
        self._now = 0
        # Held here: the loop keeps only weak references to tasks, and who waits on nothing that lives is collected.
        self._never = asyncio.Event()
        self._reached = threading.Condition()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """What a client calls the base URL."""
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    def wait_for(self, requests: int, timeout: float) -> bool:
        """Block until so many requests have come."""
        with self._reached:
            return self._reached.wait_for(lambda: len(self.asked) >= requests, timeout)

    async def _stop(self) -> None:
        self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        self._now += 1
        self.at_once = max(self.at_once, self._now)
        reply = self._answer(headers["idempotency-key"], body)
        await asyncio.sleep(0)
        self._now -= 1
        if reply.hold:
            await self._never.wait()
        lines = [f"HTTP/1.1 {reply.status} X", "content-type: application/json", f"content-length: {len(reply.body)}"]
        lines += [f"{name}: {value}" for name, value in reply.headers]
        sent = reply.body[: len(reply.body) // 2] if reply.cut else reply.body
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + sent)
        await writer.drain()
        return not reply.cut

    def _answer(self, key: str, body: dict[str, Any]) -> Reply:
        pair = json.loads(body["messages"][1]["content"].split("\n", 1)[1])
        with self._reached:
            asked = Asked(len(self.asked), key, self._seen[key], **pair, answers_refused=len(body["messages"]) - 2)
            self._seen[key] += 1
            self.asked.append(asked)
            self.arrivals.append(self._loop.time())
            self._reached.notify_all()
        if key in self.billed:
            return self.billed[key]
        reply = self.behave(asked) or well(asked)
        if reply.status == 200 and not reply.cut and not reply.hold:
            self.billed[key] = reply
        return reply
