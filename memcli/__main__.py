"""`python -m memcli` and the console script `memcli`."""

from memcli.cli.app import main

if __name__ == "__main__":
    main()
