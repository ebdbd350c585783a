"""What a run may use, and what it has used: requests, tokens, US dollars."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from dataset_builder.journal import Entry
from dataset_builder.plan import MAX_ATTEMPTS, Ask, Sampling

CHAT_TEMPLATE_TOKENS = 64  # what a server may put around the messages: marks, a system prompt of its own
# Of a reply's tokens and its bound, before the server has counted one: models think, and servers ignore the bound.
FIRST_REPLY_RATIO = 64


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens, as the user states them."""

    usd_per_million_in: float = 0.0
    usd_per_million_out: float = 0.0

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Price of some tokens in US dollars."""
        return (prompt_tokens * self.usd_per_million_in + completion_tokens * self.usd_per_million_out) / 1e6


@dataclass(frozen=True)
class Limits:
    """How much, how fast and how patiently to send.

    `max_tries` bounds the tries of one request that end in an error other than "too much" (429, 503); `patience_s`
    bounds all waiting of one request. `attempts` is 1 + the times that a bad reply is asked again.
    """

    concurrency: int = 8
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    max_tries: int = 8
    patience_s: float = 3600.0
    backoff_base_s: float = 1.0
    attempts: int = MAX_ATTEMPTS
    budget_tokens: int | None = None
    budget_usd: float | None = None
    price: Price = field(default_factory=Price)


@dataclass
class Tokens:
    """Tokens read and written, as they add up."""

    prompt: int = 0
    completion: int = 0

    def add(self, prompt: int, completion: int) -> None:
        """Count more of them, or fewer."""
        self.prompt += prompt
        self.completion += completion


@dataclass
class Progress:
    """What happened so far. Tokens count the plan's replies on file as well, each once.

    `lost` is what replies that never came can have cost at most, and `reserved` what the requests in flight may use at
    most; `failed` maps an ask's index to the class of error.
    """

    sent: int = 0
    waits: Counter[str] = field(default_factory=Counter)
    failed: dict[int, str] = field(default_factory=dict)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    lost: Tokens = field(default_factory=Tokens)
    reserved: Tokens = field(default_factory=Tokens)
    stopped: str = ""
    _counted: list[tuple[Ask, int, int]] = field(default_factory=list)
    _ratio: float | None = None
    _longest: dict[int, int] = field(default_factory=dict)  # the most tokens of a reply, by the lines asked for

    def spend(self, entry: Entry, ask: Ask) -> None:
        """Count the tokens of a reply."""
        self.prompt_tokens += entry.prompt_tokens
        self.completion_tokens += entry.completion_tokens
        if entry.prompt_tokens:
            self._counted.append((ask, entry.prompt_tokens, entry.completion_tokens))

    @property
    def prompt_ratio(self) -> float | None:
        """The highest share of a prompt's estimated tokens that the server has counted; None before it counted any.

        Found when it is asked for: a plan that lacks nothing need not know how long its prompts are.
        """
        self._learn()
        return self._ratio

    def _learn(self) -> None:
        """Note how long prompts and replies turned out to be, of what was counted since it was last asked for."""
        for ask, read, written in self._counted:
            self._ratio = max(self._ratio or 0.0, read / ask.prompt_tokens)
            self._longest[len(ask.styles)] = max(self._longest.get(len(ask.styles), 0), written)
        self._counted.clear()

    def bound(self, ask: Ask, sampling: Sampling, alone: bool = False) -> tuple[int, int]:
        """Tokens that a request may read and write at most, corrected by what came back.

        Before anything did, a prompt has one for each byte: no tokeniser makes more of a text. A reply, which nothing
        bounds for sure, has FIRST_REPLY_RATIO times its bound, so that few are sent; or its bound, for the one that is
        sent `alone`, so that a small budget does for it.
        """
        ratio, written = self.prompt_ratio, reply_bound(len(ask.styles), sampling)
        if ratio is None:
            return ask.prompt_bytes + CHAT_TEMPLATE_TOKENS, written * (1 if alone else FIRST_REPLY_RATIO)
        # Known together with the ratio.
        longer = max(tokens / reply_bound(lines, sampling) for lines, tokens in self._longest.items())
        return math.ceil(ask.prompt_tokens * ratio), math.ceil(written * max(1.0, longer))

    def fits(self, prompt: int, completion: int, limits: Limits) -> bool:
        """Whether a request of so many tokens may be sent without the budget being exceeded."""
        prompt += self.prompt_tokens + self.lost.prompt + self.reserved.prompt
        completion += self.completion_tokens + self.lost.completion + self.reserved.completion
        if limits.budget_tokens is not None and prompt + completion > limits.budget_tokens:
            return False
        return limits.budget_usd is None or limits.price.of(prompt, completion) <= limits.budget_usd


def reply_bound(lines: int, sampling: Sampling) -> int:
    """Tokens that are let to a reply with so many lines; where nothing bounds it, as many as are asked for."""
    return sampling.reply_bound(lines) or sampling.max_tokens(lines)
