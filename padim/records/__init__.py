"""The workspace's database: the image library of each model, labels, and changes to be undone."""
