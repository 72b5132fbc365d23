"""What is written down of a run: decisions, manifest, changes, calibrations, training pairs."""
