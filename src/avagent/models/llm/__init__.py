"""A causal LLM as planner: prompts, the finite set of answers, ranking them, and constrained generation."""
