"""The two browser components: the viewer and the region editor."""
