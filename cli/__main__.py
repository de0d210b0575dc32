"""`python -m cli`, the same as `crm-sweep`: how the demo starts its processes, wherever the program is installed."""

from cli.program import main

if __name__ == "__main__":
    main()
