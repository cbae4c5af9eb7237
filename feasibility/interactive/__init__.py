"""The part of a sponsor's page that answers questions: switches and sliders over the protected groups."""
