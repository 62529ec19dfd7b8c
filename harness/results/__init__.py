"""The files of a run: store, trials, histories, JUnit."""
