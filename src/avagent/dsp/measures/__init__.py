"""What is measured: of sound, of motion, and of both together."""
