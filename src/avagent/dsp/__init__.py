"""Pure signal processing on arrays: the actions, measurements, faults."""
