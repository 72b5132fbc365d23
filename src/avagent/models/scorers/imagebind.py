"""ImageBind (Girdhar et al., CVPR 2023, arXiv:2305.05665): the paper's scorer.

The code comes from the package `imagebind-unofficial`, the weights from a local file. Both are licensed CC BY-NC(-SA)
4.0: research use only; a warning says so where the scorer is chosen.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import pickle
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from avagent.core.errors import MissingModelError, RecipeError
from avagent.core.media import FloatArray, Frames, Waveform
from avagent.dsp.resampling import resample_single
from avagent.models.hf.checkpoint import read_header
from avagent.models.hf.loading import torch_device
from avagent.models.scorers.fbank import log_mel
from avagent.models.scorers.files import file_digest
from avagent.models.scorers.pictures import prepared
from avagent.models.scorers.scoring import EmbeddingScorer

INSTALL = "pip install 'avagent[imagebind]' && pip install --no-deps -r requirements/imagebind.txt"
LICENCE = (
    "ImageBind's weights are licensed CC BY-NC 4.0, its code CC BY-NC-SA 4.0: not for commercial use. The scorer"
    " `pe_av` is under Apache-2.0"
)
RATE = 16_000
MELS, MEL_FRAMES = 128, 204
MEL_MEAN, MEL_SPREAD = -4.268, 9.138
SOUND_CLIPS, SOUND_CLIP_S = 3, 2.0
SIDE = 224
HUGE: Mapping[str, int | float] = {
    "vision_embed_dim": 1280,
    "vision_num_blocks": 32,
    "vision_num_heads": 16,
    "text_embed_dim": 1024,
    "text_num_blocks": 24,
    "text_num_heads": 16,
    "out_embed_dim": 1024,
    "audio_drop_path": 0.1,
    "imu_drop_path": 0.7,
}
"""The sizes of `imagebind_huge`, the only published one."""
USED = ("vision", "audio")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ImageBindScorer(EmbeddingScorer):
    """The paper's scores: cosines of ImageBind's vectors.

    Attributes:
        checkpoint: `.pth` (read with `weights_only`) or `.safetensors`. A JSON file of the same stem beside it gives
            the network's sizes (arguments of the package's `ImageBindModel`); without one they are those of "huge".
        device, dtype: see :class:`~avagent.models.hf.loading.ModelSource`; dtype `float32`, `bfloat16` or `float16`.

    Raises:
        RecipeError: a value out of bounds.
        MissingModelError: no file, a truncated one, or the package is not installed.
    """

    checkpoint: str = ""
    device: str = "auto"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.checkpoint:
            raise RecipeError("scorer 'imagebind' needs the option `checkpoint`: the path of imagebind_huge.pth")
        if self.dtype not in ("float32", "bfloat16", "float16"):
            raise RecipeError(f"dtype must be float32, bfloat16 or float16, got {self.dtype!r}")
        _check_file(self._file)
        _check_package()
        _say_licence()

    @property
    def name(self) -> str:
        """As registered."""
        return "imagebind"

    @property
    def weights(self) -> str:
        """Digest of the file, dtype."""
        return f"imagebind@{file_digest(self._file)},{self.dtype}"

    @property
    def _file(self) -> Path:
        return Path(self.checkpoint).expanduser()

    def load(self) -> ImageBindEncoder:
        """The networks for sound and picture, in evaluation mode, on their device."""
        device = torch_device(self.device)
        return ImageBindEncoder(load_network(self._file), device, self.dtype)


@cache
def _say_licence() -> None:
    """Once a process: ports are built several times."""
    _log.warning(LICENCE)


class ImageBindEncoder:
    """Sound as the mean of three windows of 2 s, pictures as the mean over single ones.

    Args:
        network: the package's `ImageBindModel`.
        device: torch's name of it.
        dtype: of weights and activations.
    """

    def __init__(self, network: Any, device: str, dtype: str) -> None:
        self._torch: Any = importlib.import_module("torch")
        self._dtype = getattr(self._torch, dtype)
        self._device = device
        self._network = network.to(device=device, dtype=self._dtype).eval()

    def sounds(self, sounds: Sequence[Waveform]) -> FloatArray:
        """float32 [n, d]."""
        return self._vectors("audio", np.stack([sound_clips(sound) for sound in sounds]))

    def pictures(self, shots: Sequence[Frames]) -> FloatArray:
        """float32 [n, d]: each picture by itself, then the mean of the shot's."""
        counts = [shot.count for shot in shots]
        pixels = np.concatenate([prepared(shot, SIDE) for shot in shots])
        single = self._vectors("vision", pixels)
        parts = np.split(single, np.cumsum(counts)[:-1])
        return np.stack([part.mean(axis=0) for part in parts])

    def _vectors(self, modality: str, values: FloatArray) -> FloatArray:
        torch = self._torch
        with torch.inference_mode():
            tensor = torch.from_numpy(values).to(device=self._device, dtype=self._dtype)
            return self._network({modality: tensor})[modality].float().cpu().numpy()


def sound_clips(sound: Waveform) -> FloatArray:
    """Normalised log-mels of three windows of 2 s spread over the sound, float32 [3, 1, 128, 204].

    A sound shorter than a window is used whole; what it lacks is padded with zeros, as ImageBind's data code does.
    """
    mono = resample_single(sound.mono(), sound.rate, RATE)
    length = round(SOUND_CLIP_S * RATE)
    starts = np.linspace(0, max(0, mono.size - length), SOUND_CLIPS)
    clips = [_normalised(mono[int(start) : int(start) + length]) for start in starts]
    return np.stack(clips)[:, None]


def _normalised(samples: FloatArray) -> FloatArray:
    centred = samples - samples.mean(dtype=np.float64) if samples.size else samples
    mels = log_mel(np.asarray(centred, np.float32), RATE, MELS)[:MEL_FRAMES].T
    padded = np.zeros((MELS, MEL_FRAMES), np.float32)
    padded[:, : mels.shape[1]] = mels
    return (padded - MEL_MEAN) / MEL_SPREAD


def load_network(file: Path) -> Any:
    """ImageBind with the parts for sound and picture only, which halves the memory.

    Raises:
        RecipeError: sizes beside the checkpoint that the network does not take, or that do not fit the weights.
        MissingModelError: the file or the package is absent, or the file is damaged.
    """
    sizes = _sizes(file)
    with without_package_init():
        model_class = _require("imagebind.models.imagebind_model").ImageBindModel
    try:
        network = model_class(**sizes)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise RecipeError(f"the sizes beside {file} are none of ImageBind's: {error}") from error
    for part in ("modality_preprocessors", "modality_trunks", "modality_heads", "modality_postprocessors"):
        modules = getattr(network, part)
        for modality in [name for name in modules if name not in USED]:
            del modules[modality]
    wanted = {n for n, _ in (*network.named_parameters(), *network.named_buffers())}
    weights = {name: value for name, value in _read(file).items() if name in wanted}
    try:
        network.load_state_dict(weights, strict=True, assign=True)
    except RuntimeError as error:
        first = str(error).splitlines()[1:2] or [str(error)]
        raise RecipeError(
            f"the weights in {file} do not fit ImageBind of these sizes ({first[0].strip()}): is it another model, or"
            f" does {file.with_suffix('.json').name} beside it give other sizes?"
        ) from error
    return network.requires_grad_(requires_grad=False)


def _read(file: Path) -> Mapping[str, Any]:
    """The tensors; pickles are read without running anything."""
    if file.suffix == ".safetensors":
        return _require("safetensors.torch").load_file(file)
    torch = _require("torch")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MissingModelError(f"{file} cannot be read as weights alone ({reason}): fetch it again") from error
    if not isinstance(content, Mapping) or not all(isinstance(v, torch.Tensor) for v in content.values()):
        raise MissingModelError(f"{file} holds no state dictionary of tensors")
    return content


def _sizes(file: Path) -> dict[str, int | float]:
    beside = file.with_suffix(".json")
    if not beside.is_file():
        return dict(HUGE)
    try:
        sizes = json.loads(beside.read_text("utf-8"))
    except ValueError as error:
        raise RecipeError(f"{beside} is not JSON: {error}") from error
    if not isinstance(sizes, dict) or not all(type(v) in (int, float) for v in sizes.values()):
        raise RecipeError(f'{beside} must give numbers by name, such as {{"vision_embed_dim": 1280}}')
    return sizes


def _check_file(file: Path) -> None:
    if not file.is_file():
        raise MissingModelError(
            f"there is no checkpoint {file}: fetch imagebind_huge.pth (see https://github.com/facebookresearch/ImageBind"
            " for its source and licence) and give its path as scorer.options.checkpoint"
        )
    if file.suffix == ".safetensors":
        read_header(file)
    elif file.suffix not in (".pth", ".pt"):
        raise RecipeError(f"the checkpoint must be a .pth or .safetensors file, got {file}")


def _check_package() -> None:
    if importlib.util.find_spec("imagebind") is None:
        raise MissingModelError(f"ImageBind's code is not installed; run: {INSTALL}")


@contextmanager
def without_package_init() -> Iterator[None]:
    """Import submodules of `imagebind` past its `__init__`: that needs packages which no current torch loads."""
    _check_package()
    spec = importlib.util.find_spec("imagebind")
    if spec is None or "imagebind" in sys.modules:
        yield
        return
    sys.modules["imagebind"] = importlib.util.module_from_spec(spec)
    try:
        yield
    finally:
        del sys.modules["imagebind"]


def _require(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingModelError(
            f"ImageBind needs {module}, which cannot be imported ({error}); run: {INSTALL}"
        ) from error
