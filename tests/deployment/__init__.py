"""What an operator deploys: the files at the top and in deploy/, and the packages."""
