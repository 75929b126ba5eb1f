"""Models: what a classifier's file says about itself, what is assumed where it says nothing, and the built-in one."""
