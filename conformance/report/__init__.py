"""What is made of results: one schema, and every report and exit code derived from it."""
