"""The run store, JUnit and the HTML report."""
