"""What a job is: its words, its states, its contact IDs, its ledger in Redis."""
