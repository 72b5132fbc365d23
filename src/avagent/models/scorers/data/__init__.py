"""Texts that ship with the scorers."""
