"""From scores to evidence: trades by first touch, their metrics, intervals and sweeps."""
