"""Tables and calibrations, made by `tools/` and `bench/`."""
