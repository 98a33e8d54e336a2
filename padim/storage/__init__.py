"""What is kept on disk: atomic writes, bundles, the workspace, features and images of a fit, resuming."""
