"""What supervisors and monitoring ask: health, readiness, metrics."""
