"""Models by transformers: where their weights lie, how they are checked and loaded, and how batches are cut."""
