"""Plain data in, files out: the report of a release as JSON, JUnit XML, Markdown, HTML and lines on a terminal.

Every function takes the report as one plain dict that follows the public JSON schema, version 1.
"""
