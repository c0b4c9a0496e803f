"""The one code location: jobs, sensors, schedules, definitions."""
