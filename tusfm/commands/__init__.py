"""The words of the command line, one module each; what a word needs is loaded when it is said."""
