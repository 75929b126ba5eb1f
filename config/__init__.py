"""Settings: one definition for the file, the environment and the flags. Only the command imports this package."""
