"""The synthetic market: a seeded, deterministic, queue-reactive order book as genuine DBN.

``spec`` says what market; ``rng`` draws; ``ladder`` keeps the resting orders; ``events`` makes
one event with its records; ``steps`` chooses events, one function a regime; ``flow`` lets time
pass and says which regime holds; ``plan`` fixes the planted effect; ``day`` runs one date;
``files`` writes dates to disk.

It shares no code with the engine: it keeps its own order book, so that engine and market can
find each other's mistakes. It takes no logarithm or power, hence its bytes do not depend on
the mathematics library of the machine.
"""
