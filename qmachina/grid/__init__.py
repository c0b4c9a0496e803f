"""From events to bins and ticks: counts, depth and mechanics. The silver dataset."""
