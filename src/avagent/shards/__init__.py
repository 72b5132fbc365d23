"""Shards of clips, whatever their format: listed, read as samples, written."""
