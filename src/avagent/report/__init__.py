"""What became of a run, as one page that opens from a file."""
