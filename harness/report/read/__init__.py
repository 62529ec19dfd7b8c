"""Views of a run's files and histories, for the report and the command line."""
