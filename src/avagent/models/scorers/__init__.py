"""Scorers on large pretrained networks: vectors of sound and of picture in one space, compared."""
