"""SyncNet (Chung & Zisserman 2016, "Out of Time", ACCV workshops): do these lips speak these words now?

The code comes from the package `syncnet-python` (MIT and Apache-2.0): of it the network alone is imported, past its
`__init__`, which needs OpenCV and more. The weights (`syncnet_v2.model`) come from a local file. Of a clip's largest
face five pictures at a time, at 25 a second, are compared with the sound around them at every lag of up to 15 pictures.
"""

from __future__ import annotations

import importlib
import importlib.util
import pickle
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.fft import dct, rfft

from avagent.core.errors import ClipError, MissingModelError, RecipeError
from avagent.core.media import ByteArray, FloatArray, Frames, Waveform
from avagent.core.ports import ClipView
from avagent.core.region import Region
from avagent.core.scores import RawScores
from avagent.dsp.resampling import resample_single
from avagent.models.embedded.faces import Face, FaceDetector
from avagent.models.hf.loading import Once, torch_device
from avagent.models.scorers.calibrated import CalibratedScorer
from avagent.models.scorers.files import file_digest

INSTALL = "pip install 'avagent[hf]' && pip install --no-deps -r requirements/syncnet.txt"
RATE, FPS, SIDE = 16_000, 25, 224
WINDOW = 5
"""Pictures; four frames of the sound each."""
MOST_LAG = 15
"""Pictures."""
COEFFICIENTS, FILTERS, FFT, WINDOW_S, STEP_S = 13, 26, 512, 0.025, 0.01
PREEMPHASIS, LIFTER = 0.97, 22
ROOM = 0.4
"""Around the face, in shares of half its side: how SyncNet's training pictures were cut."""


@dataclass(frozen=True, kw_only=True)
class SyncNetScorer(CalibratedScorer):
    """Synchronization of clips with a talking face; no alignment.

    The raw score is by how much the distance between lips and sound, as they come, is below its median over lags.

    Attributes:
        checkpoint: the published `syncnet_v2.model`, or any state dictionary of its network.
        device: see :class:`~avagent.models.hf.loading.ModelSource`.
        batch: windows per forward pass at most.

    Raises:
        RecipeError: a value out of bounds.
        MissingModelError: no file, or the package is not installed.
    """

    checkpoint: str = ""
    device: str = "auto"
    batch: int = 20
    _networks: Once[tuple[Any, FaceDetector]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.checkpoint:
            raise RecipeError("scorer 'syncnet' needs the option `checkpoint`: the path of syncnet_v2.model")
        if self.batch < 1:
            raise RecipeError(f"batch must be at least 1, got {self.batch}")
        if not self._file.is_file():
            raise MissingModelError(f"there is no checkpoint {self._file}: give the path of syncnet_v2.model")
        if importlib.util.find_spec("syncnet_python") is None:
            raise MissingModelError(f"SyncNet's code is not installed; run: {INSTALL}")
        object.__setattr__(self, "_networks", Once(self._load))

    @property
    def name(self) -> str:
        """As registered."""
        return "syncnet"

    @property
    def model_fingerprint(self) -> str:
        """Digest of the weights."""
        return f"syncnet({file_digest(self._file)},lags={MOST_LAG})"

    @property
    def lags_ms(self) -> tuple[float, ...]:
        """Within what is looked at, beyond what nobody notices."""
        return (-400.0, -200.0, 250.0, 400.0)

    @property
    def _file(self) -> Path:
        return Path(self.checkpoint).expanduser()

    def warm_up(self) -> None:
        """Load the networks now. Raises MissingModelError, RecipeError."""
        _ = self._networks()

    def _load(self) -> tuple[Any, FaceDetector]:
        network = load_network(self._file).to(torch_device(self.device)).eval()
        return network, FaceDetector()

    def raw(self, views: Sequence[ClipView]) -> list[RawScores | ClipError]:
        """One answer a clip."""
        return [self._raw(view) for view in views]

    def _raw(self, view: ClipView) -> RawScores | ClipError:
        try:
            found = self._contrast(view)
        except ClipError as error:
            return error
        value, note = (None, found) if isinstance(found, str) else (found, None)
        return RawScores(alignment=None, alignment_note="not_judged", synchronization=value, synchronization_note=note)

    def _contrast(self, view: ClipView) -> float | str:
        sound, facts, few = view.audio(), view.facts(), view.frames()
        if sound is None or facts is None:
            return "no_audio"
        if facts.muted:
            return "muted"
        if few is None:
            return "no_video"
        network, detector = self._networks()
        found = faces(view, few, detector)
        if found is None:
            return "no_face"
        sounds = mfcc(sound)
        count = min(found.shape[0], sounds.shape[0] // 4) - WINDOW + 1
        if count <= 2 * MOST_LAG:
            return "too_short"
        lips, heard = self._features(network, found, sounds, count)
        distances = mean_distances(lips, heard)
        return float(np.median(distances) - distances[MOST_LAG])

    def _features(
        self, network: Any, pictures: ByteArray, sounds: FloatArray, count: int
    ) -> tuple[FloatArray, FloatArray]:
        """Of each window: lips and sound, float32 [count, features]."""
        torch: Any = importlib.import_module("torch")
        device = next(network.parameters()).device
        lips: list[FloatArray] = []
        heard: list[FloatArray] = []
        with torch.inference_mode():
            for first in range(0, count, self.batch):
                at = range(first, min(first + self.batch, count))
                seen = np.stack([pictures[i : i + WINDOW].transpose(3, 0, 1, 2) for i in at]).astype(np.float32)
                said = np.stack([sounds[4 * i : 4 * i + 4 * WINDOW].T[None] for i in at])
                lips.append(network.forward_lip(torch.from_numpy(seen).to(device)).float().cpu().numpy())
                heard.append(network.forward_aud(torch.from_numpy(said).to(device)).float().cpu().numpy())
        return np.concatenate(lips), np.concatenate(heard)


def mean_distances(lips: FloatArray, heard: FloatArray) -> FloatArray:
    """Mean Euclidean distance at each lag of the sound from -15 to +15 pictures, over the windows that both have."""
    means: list[float] = []
    for lag in range(-MOST_LAG, MOST_LAG + 1):
        one = lips[max(0, -lag) : lips.shape[0] - max(0, lag)]
        other = heard[max(0, lag) : heard.shape[0] - max(0, -lag)]
        means.append(float(np.linalg.norm(one - other, axis=1).mean()))
    return np.array(means, np.float32)


def faces(view: ClipView, few: Frames, detector: FaceDetector) -> ByteArray | None:
    """The largest face at 25 pictures a second, of the first 10 s, uint8 [n, 224, 224, 3], BGR; None: there is none.

    The pictures are of the part where faces were in a few of them; the place is looked for once in five pictures.
    """
    boxes = [max(found, key=lambda f: f.height) for p in few.pixels if (found := detector.detect(p))]
    if not boxes:
        return None
    high, wide = few.pixels.shape[1:3]
    room = max(max(b.width, b.height) for b in boxes)
    region = Region(
        left=max(0.0, (min(b.left for b in boxes) - room) / wide),
        top=max(0.0, (min(b.top for b in boxes) - room) / high),
        right=min(1.0, (max(b.right for b in boxes) + room) / wide),
        bottom=min(1.0, (max(b.bottom for b in boxes) + room) / high),
        max_side=480,
    )
    shown = view.region(region)
    if shown is None or shown.count == 0:
        return None
    clock = np.arange(int(shown.times[-1] * FPS) + 1) / FPS
    nearest = np.clip(np.searchsorted(shown.times, clock - 0.5 / FPS), 0, shown.count - 1)
    place: Face | None = None
    cut: list[ByteArray] = []
    for index, picture in enumerate(nearest.tolist()):
        if place is None or index % WINDOW == 0:
            found = detector.detect(shown.pixels[picture], closely=False)
            place = max(found, key=lambda f: f.height) if found else place
        if place is None:
            return None
        cut.append(_crop(shown.pixels[picture], place))
    return np.stack(cut)


def _crop(picture: ByteArray, face: Face) -> ByteArray:
    """A square around the face, a little lower than it, at SyncNet's size; beyond the picture its edge goes on."""
    half = 0.5 * max(face.width, face.height)
    x, y = 0.5 * (face.left + face.right), 0.5 * (face.top + face.bottom)
    side = 2.0 * half * (1.0 + ROOM)
    rows = y - half + (np.arange(SIDE) + 0.5) * side / SIDE
    columns = x - 0.5 * side + (np.arange(SIDE) + 0.5) * side / SIDE
    down = np.clip(rows, 0, picture.shape[0] - 1).astype(np.intp)
    right = np.clip(columns, 0, picture.shape[1] - 1).astype(np.intp)
    return picture[down][:, right, ::-1]


def mfcc(sound: Waveform) -> FloatArray:
    """13 cepstral coefficients, 100 a second, float32 [n, 13], as HTK defines them (Young et al., The HTK Book, 5.6).

    SyncNet was trained on those of `python_speech_features` on 16-bit samples: the first is the logarithm of the
    energy, frames are rectangular, the last one is padded.
    """
    samples = np.round(resample_single(sound.mono(), sound.rate, RATE) * 32768.0).astype(np.float64)
    emphasised = np.append(samples[:1], samples[1:] - PREEMPHASIS * samples[:-1])
    length, step = round(WINDOW_S * RATE), round(STEP_S * RATE)
    count = 1 + max(0, -(-(emphasised.size - length) // step))
    padded = np.pad(emphasised, (0, max(0, (count - 1) * step + length - emphasised.size)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[::step][:count]
    power = np.square(np.abs(rfft(frames, FFT, axis=1))) / FFT
    energy = np.maximum(power.sum(axis=1), np.finfo(np.float64).eps)
    bands = np.log(np.maximum(power @ _mel_filters().T, np.finfo(np.float64).eps))
    cepstra = np.asarray(dct(bands, type=2, axis=1, norm="ortho"))[:, :COEFFICIENTS]
    cepstra *= 1.0 + 0.5 * LIFTER * np.sin(np.pi * np.arange(COEFFICIENTS) / LIFTER)
    cepstra[:, 0] = np.log(energy)
    return cepstra.astype(np.float32)


def _mel_filters() -> Any:
    """Triangles on whole bins of the spectrum, float64 [26, 257]."""
    mels = np.linspace(0.0, 2595.0 * np.log10(1.0 + RATE / 2 / 700.0), FILTERS + 2)
    edges = np.floor((FFT + 1) * 700.0 * (10.0 ** (mels / 2595.0) - 1.0) / RATE)
    bins = np.arange(FFT // 2 + 1)
    rise = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    inside = (bins >= edges[:-2, None]) & (bins < edges[2:, None])
    return np.where(inside, np.where(bins < edges[1:-1, None], rise, fall), 0.0)


def load_network(file: Path) -> Any:
    """SyncNet with these weights, of the size that they have.

    Raises:
        MissingModelError: the package is absent, or the file is damaged.
        RecipeError: the weights are of another network.
    """
    weights = _read(file)
    last = weights.get("netfcaud.3.weight")
    if last is None:
        raise RecipeError(f"{file} holds no weights of SyncNet")
    with _past_init():
        network = importlib.import_module("syncnet_python.SyncNetModel").S(num_layers_in_fc_layers=last.shape[0])
    try:
        network.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise RecipeError(f"the weights in {file} do not fit SyncNet: {str(error).splitlines()[-1].strip()}") from error
    return network.requires_grad_(requires_grad=False)


def _read(file: Path) -> Mapping[str, Any]:
    torch: Any = importlib.import_module("torch")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MissingModelError(f"{file} cannot be read as weights alone ({reason}): fetch it again") from error
    if not isinstance(content, Mapping):
        raise MissingModelError(f"{file} holds no state dictionary of tensors")
    return content


@contextmanager
def _past_init() -> Iterator[None]:
    """Import a submodule of the package without its `__init__`, which needs OpenCV and a scene detector."""
    spec = importlib.util.find_spec("syncnet_python")
    if spec is None or "syncnet_python" in sys.modules:
        yield
        return
    sys.modules["syncnet_python"] = importlib.util.module_from_spec(spec)
    try:
        yield
    finally:
        del sys.modules["syncnet_python"]
