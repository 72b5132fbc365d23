"""The actions: sound and parameters in, edited sound and a report of what was done out."""
