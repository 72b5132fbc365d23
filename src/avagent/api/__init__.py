"""For those who use AVAgent from Python: clips in a notebook, building blocks for Beam pipelines of one's own."""
