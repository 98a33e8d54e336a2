"""Long work: jobs, their queue, and watching them from a page."""
