"""What a run tells a pipeline: GitHub and GitLab, and the files that a repository copies."""
