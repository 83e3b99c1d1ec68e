"""``python -m csvdprep``."""

from csvdprep.cli.run import main

if __name__ == '__main__':
    main()
