"""Running the states: run identity, pipeline, reuse of published states, engines, comparison."""
