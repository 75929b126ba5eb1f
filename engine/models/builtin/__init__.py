"""The models that ship with the package; each has a card beside it that says what it is and is not."""
