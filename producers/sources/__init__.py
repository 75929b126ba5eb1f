"""Where a camera's pictures come from. `base.Source` is the contract; `open_source` finds the right one."""
