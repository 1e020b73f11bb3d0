"""How the simulator fails on purpose: the kinds of faults, their registry, and the middleware that carries them out."""
