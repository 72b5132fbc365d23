"""What a clip's media cost: decoding, sampling and writing again, and what a second generation of each codec loses.

    python bench/container.py [--passes 3] [--recordings 12]

Times are the best of several passes, in ms of one process, on a real clip (5.3 s of 720p h264 with AAC 5.1). The second
table encodes real recordings once with each encoder at each bit rate: SNR against what went in, and ms per 10 s and
channel. It is what the encoder settings in `avagent.media.audio_codec` were chosen by.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from avagent.core.media import Waveform
from avagent.media.audio_codec import Encoding, configure, encode, resampled
from avagent.media.container import (
    PictureChoice,
    decode_audio,
    decode_member,
    decode_motion,
    decode_picture,
    probe,
    remux,
    sample_frames,
)
from avagent.media.pyav import add_sound_stream

ROOT = Path(__file__).resolve().parent.parent
MEDIA = ROOT / ".cache" / "media"
RESULTS = Path(__file__).resolve().parent / "results" / "container.json"
SETTINGS = [("aac", {"aac_coder": coder}, kbits) for coder in ("fast", "twoloop") for kbits in (64, 96, 128, 160)] + [
    ("libopus", {}, kbits) for kbits in (64, 96, 128)
]


def best_ms(work: Callable[[], object], passes: int) -> float:
    """The shortest of several passes, in ms."""
    times: list[float] = []
    for _ in range(passes):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return 1000 * min(times)


def costs(passes: int) -> dict[str, float]:
    """What each operation costs on the real clip, in ms."""
    data = (MEDIA / "video" / "bigbuckbunny.mp4").read_bytes()
    sound = decode_audio(data)
    if sound is None:
        raise SystemExit("the clip has no sound: run `make media`")
    pictures = PictureChoice(count=8, max_side=360, least_keyframes=4)
    works: dict[str, Callable[[], object]] = {
        "probe": lambda: probe(data),
        "decode_audio": lambda: decode_audio(data),
        "sample_frames (keyframes)": lambda: sample_frames(data),
        "sample_frames (exact)": lambda: sample_frames(data, exact=True),
        "decode_motion": lambda: decode_motion(data),
        "decode_picture (both)": lambda: decode_picture(data),
        "decode_member (all)": lambda: decode_member(data, pictures=pictures),
    }
    works |= {
        f"remux ({codec})": lambda codec=codec: remux(data, sound, audio_codec=codec) for codec in ("aac", "flac")
    }
    return {name: round(best_ms(work, passes), 1) for name, work in works.items()}


def recordings(count: int) -> list[Waveform]:
    """Real recordings of 48 kHz-like rates, at most 10 s each."""
    found: list[Waveform] = []
    for path in sorted((MEDIA / "stamps").rglob("*.ogg")):
        sound = decode_audio(path.read_bytes())
        if sound is not None and sound.rate >= 44_100 and sound.channels <= 2 and np.abs(sound.samples).max() > 0.05:
            found.append(Waveform(np.clip(sound.samples[:, : 10 * sound.rate], -1, 1), sound.rate))
        if len(found) == count:
            break
    return found


def second_generation(sound: Waveform, encoder: str, options: dict[str, str], kbits: int) -> tuple[float, float]:
    """SNR in dB of one encoding, and its ms per 10 s and channel."""
    rate = 48_000 if encoder == "libopus" else sound.rate
    sound = Waveform(resampled(sound, rate), rate)
    encoding = Encoding(
        encoder=encoder,
        rate=rate,
        layout="mono" if sound.channels == 1 else "stereo",
        sample_format="flt" if encoder == "libopus" else "fltp",
        bits=None,
        bit_rate=kbits * 1000 * sound.channels,
    )
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as output:
        stream = add_sound_stream(output, encoder, rate)
        configure(stream.codec_context, encoding)
        stream.codec_context.options.update(options)
        started = time.process_time()
        encoded = encode(stream, sound, encoding, 0)
        seconds = time.process_time() - started
        output.mux(encoded.packets)
    again = decode_audio(buffer.getvalue())
    if again is None:
        raise SystemExit(f"{encoder} wrote nothing that can be decoded")
    length = min(again.length, sound.length)
    noise = again.samples[:, :length] - sound.samples[:, :length]
    snr = 10 * np.log10(float((sound.samples**2).sum()) / max(float((noise**2).sum()), 1e-20))
    return snr, seconds * 1000 / (sound.duration / 10) / sound.channels


def generations(count: int) -> list[dict[str, str | float]]:
    """The medians over the recordings, one row a setting."""
    sounds = recordings(count)
    rows: list[dict[str, str | float]] = []
    for encoder, options, kbits in SETTINGS:
        found = [second_generation(sound, encoder, options, kbits) for sound in sounds]
        rows.append(
            {
                "encoder": " ".join([encoder, *options.values()]),
                "kbit/s a channel": kbits,
                "recordings": len(found),
                "SNR dB": round(statistics.median(snr for snr, _ in found), 1),
                "ms": round(statistics.median(ms for _, ms in found), 1),
            }
        )
    return rows


def main() -> None:
    """Measure, print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--recordings", type=int, default=12)
    options = parser.parse_args()
    table, rows = costs(options.passes), generations(options.recordings)
    print("| operation | ms |\n|---|---|")
    print("\n".join(f"| {name} | {ms} |" for name, ms in table.items()))
    print("\n| encoder | kbit/s a channel | recordings | SNR dB | ms per 10 s and channel |\n|---|---|---|---|---|")
    print("\n".join("| " + " | ".join(str(value) for value in row.values()) + " |" for row in rows))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"costs_ms": table, "generations": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
