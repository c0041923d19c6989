"""The gate: pytest suites that judge a release, one file per question. Collected from the plan, they run no model."""
