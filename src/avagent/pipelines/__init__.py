"""Composition root: recipes, wiring and commands."""
