"""Models behind an OpenAI-compatible endpoint: a service, or a vLLM server of one's own (ADR 3)."""
