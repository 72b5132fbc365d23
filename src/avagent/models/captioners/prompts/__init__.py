"""What captioners are asked: `NAME.txt`, a new name for every change."""
