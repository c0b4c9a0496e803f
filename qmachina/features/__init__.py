"""From silver to gold: deterministic columns without thresholds and without scores."""
