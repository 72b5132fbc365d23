"""Chat completions from any OpenAI-compatible endpoint, by the official client.

The client itself retries timeouts, 429 and 5xx with growing, jittered pauses and obeys `Retry-After`. Here are rate,
concurrency, counts, and the decision which failures are the clip's and which stop the run.
"""

from __future__ import annotations

import importlib
import os
import re
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from avagent.core.errors import FailureReason, MissingModelError, ModelError, RecipeError, Stage
from avagent.models.hf.loading import Once
from avagent.models.remote.pacing import RateLimit
from avagent.models.usage import Usage

INSTALL = "pip install 'avagent[remote]'"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a model is served, and how it may be used.

    Attributes:
        base_url: such as `http://localhost:8000/v1`.
        model: its name there.
        revision: what the operator says is served; part of the fingerprint, since an endpoint can change unseen.
        api_key_env: environment variable of the worker that holds the key; None: none is needed.
        timeout_s: for one attempt.
        max_retries: after the first attempt.
        requests_per_minute: of one worker process; None: no limit.
        concurrency: requests at once, of one worker process.
        max_tokens: of an answer.
        price_in, price_out: of a million tokens, in the currency of your bill; 0: no cost is counted.

    Raises:
        RecipeError: a value that cannot be; a key instead of a variable's name.
    """

    base_url: str
    model: str
    revision: str = ""
    api_key_env: str | None = None
    timeout_s: float = 60.0
    max_retries: int = 5
    requests_per_minute: float | None = None
    concurrency: int = 4
    max_tokens: int = 128
    price_in: float = 0.0
    price_out: float = 0.0

    def __post_init__(self) -> None:
        url = urlsplit(str(self.base_url))
        if url.scheme not in ("http", "https") or not url.hostname:
            raise RecipeError(f"base_url must be http(s)://HOST[:PORT]/PATH, got {self.base_url!r}")
        if url.username or url.password or url.query:
            raise RecipeError("base_url must hold no user, password or query: name the key's variable in api_key_env")
        if not self.model or not isinstance(self.model, str):
            raise RecipeError(f"model must be a name that the endpoint knows, got {self.model!r}")
        if self.api_key_env is not None and not _VARIABLE.fullmatch(str(self.api_key_env)):
            raise RecipeError("api_key_env must be the name of an environment variable, never the key itself")
        if not 0 < self.timeout_s <= 3600 or self.max_retries < 0 or self.max_tokens < 1:
            raise RecipeError("timeout_s in (0, 3600], max_retries >= 0 and max_tokens >= 1 are needed")
        if self.concurrency < 1 or min(self.price_in, self.price_out) < 0:
            raise RecipeError("concurrency must be at least 1, prices must not be negative")

    def key(self) -> str:
        """The key of this machine. Raises MissingModelError."""
        if self.api_key_env is None:
            return "none"
        key = os.environ.get(self.api_key_env, "")
        if not key:
            raise MissingModelError(
                f"the environment variable {self.api_key_env}, which must hold the key for {self.base_url}, is not set"
            )
        return key

    @property
    def fingerprint(self) -> str:
        """Host, model, revision, length of answers."""
        named = f"{self.model}@{self.revision}" if self.revision else self.model
        return f"{urlsplit(self.base_url).netloc},{named},tokens={self.max_tokens}"


class ChatClient:
    """Asks an endpoint, several questions at once.

    Args:
        endpoint: which.
        stage: of the failures that it answers.
    """

    def __init__(self, endpoint: Endpoint, stage: Stage) -> None:
        self.endpoint = endpoint
        self.usage = Usage()
        self._stage = stage
        self._connection = Once(self._connect)

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.endpoint, self._stage))

    def check(self) -> None:
        """Ask the endpoint which models it serves.

        Raises:
            MissingModelError: nobody answers there, the key is refused, or it serves other models.
        """
        openai, client = _openai(), self._connection().client
        endpoint = self.endpoint
        try:
            served = [model.id for model in client.with_options(max_retries=1).models.list().data]
        except openai.APIConnectionError as error:
            raise MissingModelError(f"no endpoint answers at {endpoint.base_url} (base_url): {error}") from error
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise self._refused(error) from error
        except (openai.OpenAIError, ValueError, TypeError, AttributeError):
            return  # not every endpoint lists its models: the first question will tell
        if served and endpoint.model not in served:
            raise MissingModelError(
                f"{endpoint.base_url} does not serve {endpoint.model!r} but {', '.join(map(repr, served[:5]))}"
            )

    def ask(self, questions: Sequence[Sequence[Message]]) -> list[str | ModelError]:
        """One answer a conversation, in order; what failed is an error in its place.

        Args:
            questions: conversations in the messages of the chat completions protocol.

        Raises:
            MissingModelError: the endpoint refuses the key or does not know the model.
        """
        if not questions:
            return []
        with ThreadPoolExecutor(min(len(questions), self.endpoint.concurrency)) as pool:
            return list(pool.map(self._ask, questions))

    def _ask(self, messages: Sequence[Message]) -> str | ModelError:
        openai, connection = _openai(), self._connection()
        with connection.places:
            connection.rate.wait()
            try:
                return self._completed(connection.client, messages)
            except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
                raise self._refused(error) from error
            except (openai.OpenAIError, ValueError, TypeError, AttributeError, LookupError) as error:
                self.usage.add({"requests": 1, "requests_failed": 1})
                return self._failed(f"{type(error).__name__}: {_short(error)}")

    def _completed(self, client: Any, messages: Sequence[Message]) -> str | ModelError:
        endpoint = self.endpoint
        raw = client.chat.completions.with_raw_response.create(
            model=endpoint.model, messages=list(messages), max_tokens=endpoint.max_tokens, temperature=0, seed=0
        )
        answer = raw.parse()
        content = answer.choices[0].message.content
        self._count(answer.usage, raw.retries_taken)
        if not isinstance(content, str) or not content.strip():
            return self._failed("the answer holds no text")
        return content

    def _count(self, usage: Any, retries: int) -> None:
        tokens_in, tokens_out = (
            value if isinstance(value := getattr(usage, name, 0), int) and value > 0 else 0
            for name in ("prompt_tokens", "completion_tokens")
        )
        cost = tokens_in * self.endpoint.price_in + tokens_out * self.endpoint.price_out
        counts = {"requests": 1, "retries": retries, "tokens_in": tokens_in, "tokens_out": tokens_out}
        self.usage.add({**counts, "cost_millionths": round(cost)})

    def _failed(self, cause: str) -> ModelError:
        message = f"{self.endpoint.base_url} gave no usable answer: {cause}"
        return ModelError(message, reason=FailureReason.MODEL_FAILED, stage=self._stage)

    def _refused(self, error: Exception) -> MissingModelError:
        endpoint = self.endpoint
        return MissingModelError(
            f"{endpoint.base_url} refuses model {endpoint.model!r} ({_short(error)}); check base_url, model and"
            f" api_key_env ({endpoint.api_key_env or 'not set'})"
        )

    def _connect(self) -> Connection:
        endpoint = self.endpoint
        client = _openai().OpenAI(
            base_url=endpoint.base_url,
            api_key=endpoint.key(),
            timeout=endpoint.timeout_s,
            max_retries=endpoint.max_retries,
        )
        rate = RateLimit(endpoint.requests_per_minute)
        return Connection(client=client, rate=rate, places=threading.BoundedSemaphore(endpoint.concurrency))


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """What a process holds of an endpoint: the client, the pace, the places for requests under way."""

    client: Any
    rate: RateLimit
    places: threading.BoundedSemaphore = field(repr=False)


def _openai() -> Any:
    try:
        return importlib.import_module("openai")
    except ImportError as error:
        raise MissingModelError(
            f"remote models need openai, which cannot be imported ({error}); run: {INSTALL}"
        ) from error


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:300]}…"
