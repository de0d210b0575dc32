"""Jobs that other services submit with plain arq, while they are in the queue."""
