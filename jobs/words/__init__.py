"""The words that everything else speaks: states, outcomes, reasons, priorities, IDs, labels and errors."""
