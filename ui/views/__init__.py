"""Views: what the pages draw, one subject a file; a page puts one or several of them together."""
