"""The store: a directory of models under names of their own, each with its versions and its history."""
