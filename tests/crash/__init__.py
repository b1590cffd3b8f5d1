"""pfwatch killed at random moments, its log rotated at others, and its totals beside the truth."""
