"""Reading results: the gate before published sites, exports, differences, explanations."""
