"""Captioners on large models: by transformers, or behind an OpenAI-compatible endpoint."""
