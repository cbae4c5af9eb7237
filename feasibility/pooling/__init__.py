"""Adding up counts: parts of one hospital, and hospitals that must not show each other their patients."""
