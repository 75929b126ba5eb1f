"""The doctor: checks of what this program stands on, each with what was found and how to mend it."""
