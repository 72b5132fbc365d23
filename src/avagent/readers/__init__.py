"""Refined shards for training code: `readers.tensorflow` (tf.data) and `readers.torch` (IterableDataset)."""
