"""Dagster assets over the core's builders: one thin asset a dataset, one partition a session."""
