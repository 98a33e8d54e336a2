"""Questions asked of a fitted model: how well it finds defects, how sure its threshold is, what it costs."""
