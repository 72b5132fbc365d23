"""AVAgent: repairs the sound of audio-visual clips so that it fits, and keeps time with, the picture."""

__version__ = "0.1.0"
