"""Pure types and decisions: standard library and numpy only."""
