"""One change of the exchange as a unit: saved as a whole, and only then announced.

atomic_step      `with step:` around everything that changes the exchange
delayed_steps    a step that happens later, by a timer
"""
