"""The command: `main` finds the module of a command group, which says its settings, its help and what it does."""
