"""What people and machines read: rendering only."""
