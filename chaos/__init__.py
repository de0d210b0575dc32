"""Real processes, killed, frozen and lied to at random; in the end the ledger is compared with what really happened."""
