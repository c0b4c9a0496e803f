"""The ``qmachina`` command: reads arguments, calls the core, prints. No computation lives here."""
