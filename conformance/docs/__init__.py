"""The documentation site: pages made of the tables that the suites run on. No suite needs it.

Here belong the timelines that a page shows, the generated reference, and the writing of the site.
What a requirement means stands in `specs/guidance.yaml`; guides lie beside what they explain.
"""
