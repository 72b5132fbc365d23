"""Tests of the DSP layer."""
