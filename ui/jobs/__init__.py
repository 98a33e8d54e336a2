"""Background jobs: the jobs themselves, their queue, and how a page follows them."""
