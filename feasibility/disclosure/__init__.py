"""What may leave the building: one protected table of disjoint patient groups, and everything computed from it."""
