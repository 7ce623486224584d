partita validate --help
