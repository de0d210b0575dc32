"""`python -m cli` is `crm-sweep`: how the demo starts its own processes, wherever the program is installed."""

from cli.program import main

if __name__ == "__main__":
    main()
