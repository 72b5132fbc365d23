"""Media containers, shards, storage and records, free of Beam."""
