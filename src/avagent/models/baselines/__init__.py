"""Planners that a loop must hold against: one plans at random, one proposes everything."""
