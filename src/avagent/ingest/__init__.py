"""Recordings and clip lists to shards."""
