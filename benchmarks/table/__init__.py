"""The comparison table: every method beside its base, the baselines and the published number, at a stated budget."""
