"""From records to a level-3 order book and signed flow impulses. Integers only."""
