"""From gold to scores: one class per model, one implementation for batch and live."""
