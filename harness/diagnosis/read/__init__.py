"""Console text to facts: tasks with their stacks, locks, workqueues, complaints."""
