partita sim --help
