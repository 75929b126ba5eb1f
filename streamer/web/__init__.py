"""The program in a browser: the shell around its pages, and the door before them.

Only the commands that serve pages import it, since it needs the extra `dashboard`.
"""
