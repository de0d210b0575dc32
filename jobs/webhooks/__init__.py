"""Events for webhooks: what they say, where they wait, and what people see of it."""
