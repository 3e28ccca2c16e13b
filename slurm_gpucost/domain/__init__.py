"""Words of the project as types, and the pure projection of evidence."""
