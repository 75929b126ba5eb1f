"""What the pages about models share: files that are sent in, work in processes of its own, and reports of it."""
