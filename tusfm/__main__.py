"""`python -m tusfm` is `tusfm`."""

from tusfm.main import main

if __name__ == "__main__":
    main()
