"""Beam shells around plain functions."""
