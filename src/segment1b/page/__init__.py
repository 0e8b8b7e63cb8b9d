"""The page: one self-contained HTML file on which a reviewer sees whether a planet looks right."""
