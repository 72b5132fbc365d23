"""Prompts as text files, one version a file: a change of wording is a new version."""
