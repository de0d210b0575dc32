"""What a person asks of a job or a portal: pause, resume, cancel, approve, retry, priority, limits."""
