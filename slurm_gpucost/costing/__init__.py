"""What time on a device costs: pure, exact."""
