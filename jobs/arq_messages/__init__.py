"""Jobs that other services submit with plain arq, as they are in the queue."""
