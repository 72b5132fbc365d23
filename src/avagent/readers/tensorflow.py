"""Refined shards, WebDataset or TFRecord, as a `tf.data.Dataset` (extra `tfio`).

    from avagent.readers.tensorflow import read_clips

    dataset = read_clips("refined/", outcomes=("improved", "unchanged"))

Sound in WAV (16 bits), FLAC, MP3 and Vorbis is decoded by tensorflow-io's native operations, inside the graph. All
other sound, and what lies in a video container, is decoded by PyAV: the FFmpeg operations of tensorflow-io need FFmpeg
4, and its AAC one a library that it does not bring.
"""

from __future__ import annotations

import io
import wave
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf  # pyright: ignore[reportMissingImports, reportMissingModuleSource]  (an environment of its own)
import tensorflow_io as tfio  # pyright: ignore[reportMissingImports]

from avagent.core.errors import MediaError, MissingModelError
from avagent.readers.examples import EncodedClip, check_outcomes, decoded, iter_clips
from avagent.shards.formats import DEFAULT_OPTIONS, ShardOptions
from avagent.shards.listing import list_shards

_OTHER = 0
_SIGNATURE = {
    "key": tf.TensorSpec((), tf.string),
    "video": tf.TensorSpec((), tf.string),
    "sound": tf.TensorSpec((), tf.string),
    "decoder": tf.TensorSpec((), tf.int32),
    "rate": tf.TensorSpec((), tf.int64),
    "record": tf.TensorSpec((), tf.string),
}


def read_clips(
    shards: str, *, outcomes: Collection[str] = (), parallel: int = 4, options: ShardOptions = DEFAULT_OPTIONS
) -> tf.data.Dataset:
    """Clips with decoded sound.

    Args:
        shards: folder, glob, brace pattern or list of shards.
        outcomes: only clips with such an outcome (`improved`, `unchanged`, `not_evaluable`); none: all.
        parallel: shards that are read at the same time; their clips alternate. 1: in order.
        options: limits of media and decoding; what tensorflow-io decodes natively is bound by neither.

    Returns:
        `key` (string), `audio` (float32 [samples, channels], or [0, 0] without sound), `rate` (int64, Hz), `video` (the
        container's bytes) and `record` (JSON: why the clip is as it is; empty for shards that were not refined).

    Raises:
        MissingModelError: tensorflow-io's native operations do not work here.
        ParameterError: an unknown outcome.
        UsageError: no shards there.
    """
    check_native_operations()
    wanted = sorted(check_outcomes(outcomes))
    generate = partial(_generate, options=options)

    def clips_of(shard: tf.Tensor) -> tf.data.Dataset:
        return tf.data.Dataset.from_generator(generate, output_signature=_SIGNATURE, args=(shard, wanted))

    urls = tf.data.Dataset.from_tensor_slices(list_shards(shards))
    clips = urls.interleave(clips_of, cycle_length=parallel, num_parallel_calls=parallel, deterministic=True)
    return clips.map(partial(_decode, options=options), num_parallel_calls=tf.data.AUTOTUNE)


def check_native_operations() -> None:
    """Call one, since tensorflow-io imports cleanly beside a TensorFlow for which it was not built.

    Raises:
        MissingModelError: it does not work; the message says which versions do.
    """
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, 16_000, 2, "NONE", "not compressed"))
        writer.writeframes(np.array([1, -1], "<i2").tobytes())
    try:
        decoded = tfio.audio.decode_wav(tf.constant(file.getvalue()), dtype=tf.int16).numpy().ravel().tolist()
    except (NotImplementedError, tf.errors.OpError, AttributeError) as error:
        raise MissingModelError(_remedy(str(error))) from error
    if decoded != [1, -1]:
        raise MissingModelError(_remedy(f"two samples [1, -1] were decoded as {decoded}"))


def _remedy(what: str) -> str:
    return (
        f"tensorflow-io's native operations do not work beside TensorFlow {tf.__version__} ({what[:200]}); in an"
        " environment of its own: pip install 'avagent[tfio]' (TensorFlow 2.16, tensorflow-io 0.37.1)"
    )


def _generate(shard: bytes, outcomes: np.ndarray, options: ShardOptions) -> Iterator[dict[str, Any]]:
    for found in iter_clips(shard.decode(), [outcome.decode() for outcome in outcomes], options):
        yield {
            "key": found.key.encode(),
            "video": found.video,
            "sound": found.sound if found.codec else b"",
            "decoder": _decoder(found),
            "rate": found.rate,
            "record": found.record.encode(),
        }


def _decoder(found: EncodedClip) -> int:
    """What decodes it: see `_NATIVE`."""
    bits = _flac_bits(found.sound) if found.suffix == "flac" else 0
    return _NATIVE.get((found.suffix, found.codec, bits), _OTHER)


def _flac_bits(sound: bytes) -> int:
    """Bits a sample, from STREAMINFO, the first metadata block (RFC 9639, 8.2)."""
    return ((sound[20] & 1) << 4 | sound[21] >> 4) + 1 if len(sound) > 21 and sound.startswith(b"fLaC") else 0


def _decode(clip: dict[str, tf.Tensor], options: ShardOptions) -> dict[str, tf.Tensor]:
    decoders = (partial(_decode_other, options=options), *_NATIVE_DECODERS)
    audio = tf.switch_case(clip["decoder"], [lambda d=decode: d(clip["sound"]) for decode in decoders])
    audio.set_shape((None, None))
    return {name: clip[name] for name in ("key", "rate", "video", "record")} | {"audio": audio}


def _decode_other(sound: tf.Tensor, options: ShardOptions) -> tf.Tensor:
    return tf.numpy_function(partial(_with_pyav, options=options), [sound], tf.float32)


def _with_pyav(sound: bytes, options: ShardOptions) -> np.ndarray:
    """Float32 [samples, channels]; [0, 0]: no sound, or none that can be decoded."""
    try:
        waveform = decoded(sound, options) if sound else None
    except MediaError:
        waveform = None
    return np.zeros((0, 0), np.float32) if waveform is None else np.ascontiguousarray(waveform.samples.T)


def _scaled(decode: Callable[..., tf.Tensor], dtype: tf.DType) -> Callable[[tf.Tensor], tf.Tensor]:
    """Integers to [-1, 1]; 24 bits come in the upper part of 32."""
    scale = 2.0 ** (8 * dtype.size - 1)
    return lambda sound: tf.cast(tf.cast(decode(sound, dtype=dtype), tf.float64) / scale, tf.float32)


_NATIVE = {
    ("wav", "pcm_s16le", 0): 1,
    ("flac", "flac", 16): 2,
    ("flac", "flac", 24): 3,
    ("ogg", "vorbis", 0): 4,
    ("mp3", "mp3", 0): 5,
    ("mp3", "mp3float", 0): 5,
}
"""(suffix, codec, bits of FLAC) of what tensorflow-io decodes: 1 + an index into `_NATIVE_DECODERS`; 0: PyAV does."""

_NATIVE_DECODERS: tuple[Callable[[tf.Tensor], tf.Tensor], ...] = (
    _scaled(tfio.audio.decode_wav, tf.int16),
    _scaled(tfio.audio.decode_flac, tf.int16),
    _scaled(tfio.audio.decode_flac, tf.int32),
    tfio.audio.decode_vorbis,
    tfio.audio.decode_mp3,
)
