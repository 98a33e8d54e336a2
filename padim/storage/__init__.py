"""Storage on disk: atomic writes, bundles, model folders, a fit's features and images, and resuming fits."""
