"""What captioners by transformers share: options, loading, batching, greedy decoding, parsing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from avagent.core.captions import Caption
from avagent.core.errors import ClipError, ParameterError
from avagent.core.ports import ClipView
from avagent.models.captioners.text import Prompt, caption_error, parse_caption
from avagent.models.hf.batching import BatchRunner, out_of_memory
from avagent.models.hf.loading import ModelSource, Once, load_model, load_processor, require
from avagent.models.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A loaded model; one thread at a time may use it."""

    model: Any
    processor: Any
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True, kw_only=True)
class Modality:
    """How one modality is captioned.

    Attributes:
        prompt: what is asked.
        media: what the model is given of a clip; None: there is nothing.
        cost: of that, in the unit of the runner's budget.
        encode: processor, prompt and media of a batch to the model's inputs.
        runner: cuts the batches.
        count: what goes into the metrics for one clip's media.
    """

    prompt: Prompt
    media: Callable[[ClipView], Any]
    cost: Callable[[Any], float]
    encode: Callable[[Any, str, Sequence[Any]], Any]
    runner: BatchRunner[str]
    count: Callable[[Any], Mapping[str, int]]


@dataclass(frozen=True, kw_only=True)
class GenerativeCaptioner:
    """A captioner by transformers; weights are loaded once, at first use or by :meth:`warm_up`.

    Attributes:
        model, revision, dtype, device, quantization: see :class:`~avagent.models.hf.loading.ModelSource`.
        max_new_tokens: length of a caption at most, in tokens.

    Raises:
        RecipeError: an option that cannot be, another architecture.
        MissingModelError: weights are absent or not whole.
    """

    model: str
    revision: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    quantization: str = "none"
    max_new_tokens: int = 64
    source: ModelSource = field(init=False, repr=False)
    usage: Usage = field(init=False, repr=False, compare=False)
    _network: Once[Network] = field(init=False, repr=False, compare=False)

    name: ClassVar[str]
    classes: ClassVar[Mapping[str, str]]
    """`model_type` to the class of transformers that holds it."""
    processors: ClassVar[Mapping[str, str]]
    """The same to its processor."""

    def __post_init__(self) -> None:
        if not 1 <= self.max_new_tokens <= 1024:
            raise ParameterError(f"max_new_tokens must lie in [1, 1024], got {self.max_new_tokens}")
        source = ModelSource(
            model=self.model,
            revision=self.revision,
            dtype=self.dtype,
            device=self.device,
            quantization=self.quantization,
        )
        source.check(self.model_types())
        object.__setattr__(self, "source", source)
        object.__setattr__(self, "usage", Usage())
        object.__setattr__(self, "_network", Once(self._load))

    @classmethod
    def model_types(cls) -> Collection[str]:
        """What `model_type` in the configuration may be."""
        return cls.classes.keys()

    def warm_up(self) -> None:
        """Load the weights. Raises MissingModelError."""
        self._network()

    def take_usage(self) -> Mapping[str, int]:
        """Tokens, seconds and pictures since the last call."""
        return self.usage.take()

    def _fingerprint(self, *parts: str) -> str:
        settings = ",".join([self.source.fingerprint(), f"tokens={self.max_new_tokens}", *parts])
        return f"{self.name}({settings})"

    def _load(self) -> Network:
        kind = self.source.check(self.model_types()).model_type
        model = load_model(self.source, self.classes[kind])
        processor = load_processor(self.source, self.processors[kind])
        tokenizer = processor.tokenizer
        tokenizer.padding_side = "left"
        decoding = model.generation_config
        decoding.do_sample, decoding.num_beams = False, 1
        decoding.temperature = decoding.top_p = decoding.top_k = None
        if decoding.pad_token_id is None:
            decoding.pad_token_id = tokenizer.pad_token_id
        return Network(model=model, processor=processor)

    def _caption(self, views: Sequence[ClipView], modality: Modality) -> list[Caption | ClipError | None]:
        media = [_attempt(modality.media, view) for view in views]
        places = [i for i, item in enumerate(media) if item is not None and not isinstance(item, ClipError)]
        if places:
            answers = modality.runner.run(
                [modality.cost(media[i]) for i in places],
                lambda batch: self._generate([media[places[n]] for n in batch], modality),
            )
            for i, answer in zip(places, answers, strict=True):
                media[i] = _parsed(answer, views[i].ref.key)
        return media

    def _generate(self, media: Sequence[Any], modality: Modality) -> list[str]:
        """Answers to a batch. Raises RuntimeError, ValueError: the model or its processor does."""
        network = self._network()
        torch = require("torch")
        model, processor = network.model, network.processor
        with network.lock, torch.inference_mode():
            inputs = modality.encode(processor, modality.prompt.text, media).to(model.device, dtype=model.dtype)
            length = inputs["input_ids"].shape[1]
            answer = model.generate(**inputs, max_new_tokens=self.max_new_tokens)[:, length:]
            texts = processor.tokenizer.batch_decode(answer, skip_special_tokens=True)
        said = int((answer != model.generation_config.pad_token_id).sum())
        self.usage.add({"tokens_in": int(inputs["attention_mask"].sum()), "tokens_out": said})
        for item in media:
            self.usage.add(modality.count(item))
        return texts


def _attempt(media: Callable[[ClipView], Any], view: ClipView) -> Any:
    try:
        return media(view)
    except ClipError as error:
        return error


def _parsed(answer: str | Exception, key: str) -> Caption | ClipError:
    if isinstance(answer, Exception):
        cause = "it does not fit into memory even by itself" if out_of_memory(answer) else f"{answer}"
        return caption_error(f"the captioner failed on clip {key!r}: {cause}")
    try:
        return parse_caption(answer, key)
    except ClipError as error:
        return error


def chat(processor: Any, kind: str, prompt: str) -> str:
    """The processor's chat template with one medium of this kind before the prompt."""
    content = [{"type": kind}, {"type": "text", "text": prompt}]
    return processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
