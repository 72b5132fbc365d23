"""Media containers through PyAV: probe, decode, remux. Video is never encoded.

One place to import from; the work is in `demux`, `sound`, `picture`, `clip_decode`, `audio_codec` and `remux`.
"""

from __future__ import annotations

from avagent.media.audio_codec import AUDIO_CODECS
from avagent.media.clip_decode import DecodedMember, PictureChoice, decode_member
from avagent.media.demux import probe
from avagent.media.limits import DEFAULT_LIMITS, MediaLimits
from avagent.media.picture import (
    Picture,
    decode_frames_at,
    decode_images,
    decode_motion,
    decode_picture,
    sample_frames,
)
from avagent.media.remux import encode_audio, remux
from avagent.media.sound import decode_audio

__all__ = [
    "AUDIO_CODECS",
    "DEFAULT_LIMITS",
    "DecodedMember",
    "MediaLimits",
    "Picture",
    "PictureChoice",
    "decode_audio",
    "decode_frames_at",
    "decode_images",
    "decode_member",
    "decode_motion",
    "decode_picture",
    "encode_audio",
    "probe",
    "remux",
    "sample_frames",
]
