"""What a run does to shards: rewrite, commit, carry over, merge, dead letters, convert."""
