"""Builders: one function per dataset, called by assets, commands and tests alike."""
