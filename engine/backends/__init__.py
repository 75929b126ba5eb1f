"""What computes: `base` is the contract, `registry` finds a back end by name, each has a module of its own."""
