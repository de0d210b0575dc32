"""Real processes, killed, frozen and lied to at random; at the end the ledger is compared with what really happened."""
